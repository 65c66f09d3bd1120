package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"
)

var hasher = rfc6962.DefaultHasher

func read(ctx context.Context, fetcher *client.HTTPFetcher, verifier note.Verifier) error {
	checkpoint, _, _, err := client.FetchCheckpoint(ctx, fetcher.ReadCheckpoint, verifier, verifier.Name())
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	leaves, err := entries(ctx, fetcher, checkpoint.Size)
	if err != nil {
		return err
	}
	builder, err := client.NewProofBuilder(ctx, checkpoint.Size, fetcher.ReadTile)
	if err != nil {
		return err
	}
	tree := newTree()
	for i, leaf := range leaves {
		index := uint64(i)
		path, err := builder.InclusionProof(ctx, index)
		if err != nil {
			return fmt.Errorf("inclusion of %d: %w", i, err)
		}
		if err := proof.VerifyInclusion(hasher, index, checkpoint.Size, leaf, path, checkpoint.Hash); err != nil {
			return fmt.Errorf("inclusion of %d: %w", i, err)
		}
		size, rootThen := tree.push(leaf)
		path, err = builder.ConsistencyProof(ctx, size, checkpoint.Size)
		if err != nil {
			return fmt.Errorf("consistency from %d: %w", size, err)
		}
		if err := proof.VerifyConsistency(hasher, size, checkpoint.Size, path, rootThen, checkpoint.Hash); err != nil {
			return fmt.Errorf("consistency from %d: %w", size, err)
		}
	}
	fmt.Println(len(leaves))
	return nil
}

// entries returns the leaf hashes of all entries.
func entries(ctx context.Context, fetcher *client.HTTPFetcher, size uint64) ([][]byte, error) {
	var leaves [][]byte
	for i := uint64(0); i*256 < size; i++ {
		bundle, err := client.GetEntryBundle(ctx, fetcher.ReadEntryBundle, i, size)
		if err != nil {
			return nil, fmt.Errorf("bundle %d: %w", i, err)
		}
		for _, entry := range bundle.Entries {
			leaves = append(leaves, hasher.HashLeaf(entry))
		}
	}
	if uint64(len(leaves)) != size {
		return nil, fmt.Errorf("%d entries in a tree of %d", len(leaves), size)
	}
	return leaves, nil
}

// tree holds the complete subtrees of a growing tree, largest first.
type tree struct {
	size  uint64
	roots [][]byte
}

func newTree() *tree { return &tree{} }

func (t *tree) push(leaf []byte) (uint64, []byte) {
	t.roots = append(t.roots, bytes.Clone(leaf))
	t.size++
	for n := t.size; n&1 == 0; n >>= 1 {
		last := len(t.roots) - 1
		t.roots = append(t.roots[:last-1], hasher.HashChildren(t.roots[last-1], t.roots[last]))
	}
	root := t.roots[len(t.roots)-1]
	for i := len(t.roots) - 2; i >= 0; i-- {
		root = hasher.HashChildren(t.roots[i], root)
	}
	return t.size, root
}
