// Command cosignatures opens a checkpoint with transparency-dev's packages: the log's key and a witness's have to verify.
// Usage: cosignatures CHECKPOINT LOG-VKEY WITNESS-VKEY
package main

import (
	"fmt"
	"log"
	"os"

	checkpoint "github.com/transparency-dev/formats/log"
	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func run(path, logKey, witnessKey string) error {
	signed, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	ours, err := note.NewVerifier(logKey)
	if err != nil {
		return err
	}
	witness, err := formats.NewVerifierForCosignatureV1(witnessKey)
	if err != nil {
		return err
	}
	parsed, _, opened, err := checkpoint.ParseCheckpoint(signed, ours.Name(), ours, witness)
	if err != nil {
		return err
	}
	for _, line := range opened.Sigs {
		if line.Name != witness.Name() || line.Hash != witness.KeyHash() {
			continue
		}
		time, err := formats.CoSigV1Timestamp(line)
		if err != nil {
			return err
		}
		fmt.Println(parsed.Size, time.Unix())
		return nil
	}
	return fmt.Errorf("no cosignature by %s", witness.Name())
}
