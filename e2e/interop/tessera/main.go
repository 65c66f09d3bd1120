// Command tessera looks at a log over HTTP with Tessera's own code. Usage: tessera fsck|read URL VKEY
//
// fsck runs Tessera's fsck without its display. read reads the whole log with its client: checkpoint, every entry, an inclusion
// proof for each and a consistency proof from each size; it prints how many entries there are.
package main

import (
	"context"
	"fmt"
	"log"
	"net/url"
	"os"

	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: tessera fsck|read URL VKEY")
	}
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, command, address, vkey string) error {
	root, err := url.Parse(address)
	if err != nil {
		return err
	}
	fetcher, err := client.NewHTTPFetcher(root, nil)
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	switch command {
	case "fsck":
		return check(ctx, fetcher, verifier)
	case "read":
		return read(ctx, fetcher, verifier)
	}
	return fmt.Errorf("neither fsck nor read: %q", command)
}
