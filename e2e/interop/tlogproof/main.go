// Command tlogproof verifies and makes proofs with torchwood's library.
//
//	tlogproof verify POLICY PROOF ENTRY
//	tlogproof make ORIGIN DIR     writes DIR/KEY.vkey, DIR/proof and DIR/entry
package main

import (
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	command := map[string]func([]string) error{"verify": verify, "make": makeProof}[os.Args[1]]
	if err := command(os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}

func verify(arguments []string) error {
	var files [3][]byte
	for i, path := range arguments {
		bytes, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files[i] = bytes
	}
	policy, err := torchwood.ParsePolicy(files[0])
	if err != nil {
		return err
	}
	return torchwood.VerifyProof(policy, tlog.RecordHash(files[2]), files[1])
}

// hashes is a tree in memory.
type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var list []tlog.Hash
	for _, index := range indexes {
		list = append(list, h[index])
	}
	return list, nil
}

func makeProof(arguments []string) error {
	origin, dir := arguments[0], arguments[1]
	const size, index = 300, 256
	var tree hashes
	var entry []byte
	for n := int64(0); n < size; n++ {
		record := fmt.Appendf(nil, "record %d", n)
		if n == index {
			entry = record
		}
		stored, err := tlog.StoredHashes(n, record, tree)
		if err != nil {
			return err
		}
		tree = append(tree, stored...)
	}
	root, err := tlog.TreeHash(size, tree)
	if err != nil {
		return err
	}
	record, err := tlog.ProveRecord(size, index, tree)
	if err != nil {
		return err
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return err
	}
	checkpoint := torchwood.Checkpoint{Origin: origin, Tree: tlog.Tree{N: size, Hash: root}}
	signed, err := note.Sign(&note.Note{Text: checkpoint.String()}, signer)
	if err != nil {
		return err
	}
	files := map[string][]byte{"vkey": []byte(vkey), "entry": entry, "proof": torchwood.FormatProof(index, record, signed)}
	for name, bytes := range files {
		if err := os.WriteFile(filepath.Join(dir, name), bytes, 0o644); err != nil {
			return err
		}
	}
	return nil
}
