// Command modlog reads a log with the Go module tools' own packages: the note, the tree through authenticated tiles, a
// record proof for each entry and a tree proof from each size. Usage: modlog URL VKEY
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(address, vkey string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	signed, err := get(address + "/checkpoint")
	if err != nil {
		return err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return err
	}
	tree, err := parse(opened.Text)
	if err != nil {
		return err
	}
	hashes := tlog.TileHashReader(tree, tiles{address})
	root, err := tlog.TreeHash(tree.N, hashes)
	if err != nil || root != tree.Hash {
		return fmt.Errorf("the tiles give another root: %w", err)
	}
	for n := int64(0); n < tree.N; n++ {
		if err := check(tree, n, hashes); err != nil {
			return fmt.Errorf("entry %d: %w", n, err)
		}
	}
	fmt.Println(tree.N)
	return nil
}

// check proves entry n and the tree of size n+1.
func check(tree tlog.Tree, n int64, hashes tlog.HashReader) error {
	leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
	if err != nil {
		return err
	}
	record, err := tlog.ProveRecord(tree.N, n, hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(record, tree.N, tree.Hash, n, leaf[0]); err != nil {
		return err
	}
	older, err := tlog.TreeHash(n+1, hashes)
	if err != nil {
		return err
	}
	proof, err := tlog.ProveTree(tree.N, n+1, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, n+1, older)
}

// parse reads a checkpoint under any origin; tlog.ParseTree wants that of the Go checksum database.
func parse(text string) (tlog.Tree, error) {
	_, rest, _ := strings.Cut(text, "\n")
	return tlog.ParseTree([]byte("go.sum database tree\n" + rest))
}

type tiles struct{ address string }

func (t tiles) Height() int                          { return 8 }
func (t tiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}

// ReadTiles fetches tiles below the paths of tlog-tiles, which have no height in them.
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range wanted {
		path := strings.TrimPrefix(tile.Path(), "tile/8/")
		bytes, err := get(t.address + "/tile/" + path)
		if err != nil {
			return nil, err
		}
		data = append(data, bytes)
	}
	return data, nil
}

func get(url string) ([]byte, error) {
	response, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}
