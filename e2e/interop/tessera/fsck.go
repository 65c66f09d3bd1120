package main

import (
	"context"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

func check(ctx context.Context, fetcher *client.HTTPFetcher, verifier note.Verifier) error {
	return fsck.New(verifier.Name(), verifier, fetcher, leaves, fsck.Opts{N: 2}).Check(ctx)
}

// leaves hashes the entries of a bundle.
func leaves(bundle []byte) ([][]byte, error) {
	var entries api.EntryBundle
	if err := entries.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, entry := range entries.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(entry))
	}
	return hashes, nil
}
