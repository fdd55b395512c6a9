package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/relink-go/relink"
)

// readKey reads a server's key from a file that only its user, and perhaps its
// group, can read. An error names the command that mends it.
func readKey(name string) (relink.PrivateKey, error) {
	var none relink.PrivateKey
	f, err := os.Open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return none, fmt.Errorf("%w: make one with: relink keygen -out %s", err, name)
	case errors.Is(err, fs.ErrPermission):
		return none, fmt.Errorf("%w: make it readable with: chown %d %s", err, os.Getuid(), name)
	case err != nil:
		return none, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return none, err
	}
	if !info.Mode().IsRegular() {
		return none, fmt.Errorf("%s is not a file with a key", name)
	}
	if mode := info.Mode().Perm(); mode&0o027 != 0 && runtime.GOOS != "windows" {
		return none, fmt.Errorf("%s can be read or changed by others (mode %04o), who may have the key by now: close it with: chmod 600 %s", name, mode, name)
	}
	const most = 1 << 10 // a key has 44 characters
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return none, err
	}
	key, err := relink.ParsePrivateKey(string(text))
	if err != nil {
		return none, fmt.Errorf("%s: %w", name, err)
	}
	return key, nil
}

// writeKey writes a key to a new file. One that is there is not touched: it may
// hold the only copy of a key that clients pin.
func writeKey(name string, key relink.PrivateKey) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: move it away first, or use it: relink keygen -pub %s", err, name)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, key.EncodeSecret())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}
