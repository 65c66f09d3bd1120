// Command sumdb serves a checksum database in memory with the Go module tools' own server: /latest, /tile/8/… and /lookup/,
// which adds a module that is not there yet. Usage: sumdb ADDRESS VKEY-FILE
package main

import (
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"os"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(address, keyFile string) error {
	skey, vkey, err := note.GenerateKey(rand.Reader, "sum.example.org")
	if err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, []byte(vkey), 0o644); err != nil {
		return err
	}
	sums := func(path, version string) ([]byte, error) {
		return fmt.Appendf(nil, "%s %s h1:AAAA\n%s %s/go.mod h1:AAAA\n", path, version, path, version), nil
	}
	server := sumdb.NewServer(sumdb.NewTestServer(skey, sums))
	for _, path := range sumdb.ServerPaths {
		http.Handle(path, server)
	}
	return http.ListenAndServe(address, nil)
}
