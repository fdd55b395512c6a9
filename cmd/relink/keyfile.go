package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/relink-go/relink"
)

// readSecret reads a file with a secret, of at most so many bytes, that only its user,
// and perhaps its group, can read. An error names the command that mends it.
func readSecret(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: make it readable with: chown %d %s", err, os.Getuid(), name)
	case err != nil:
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file with a key", name)
	}
	if mode := info.Mode().Perm(); mode&0o027 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s can be read or changed by others (mode %04o), who may have the key by now: close it with: chmod 600 %s", name, mode, name)
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// maxKeyFile bounds the file of a key of ours, which has 44 characters.
const maxKeyFile = 1 << 10

// readKey reads a private key.
func readKey(name string) (relink.PrivateKey, error) {
	text, err := readSecret(name, maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: make one with: relink keygen -out %s", err, name)
	}
	if err != nil {
		return relink.PrivateKey{}, err
	}
	key, err := relink.ParsePrivateKey(string(text))
	if err != nil {
		return relink.PrivateKey{}, fmt.Errorf("%s: %w", name, err)
	}
	return key, nil
}

// readPresharedKey reads a pre-shared key.
func readPresharedKey(name string) (relink.PresharedKey, error) {
	text, err := readSecret(name, maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: make one with: relink keygen -preshared -out %s", err, name)
	}
	if err != nil {
		return relink.PresharedKey{}, err
	}
	key, err := relink.ParsePresharedKey(string(text))
	if err != nil {
		return relink.PresharedKey{}, fmt.Errorf("%s: %w", name, err)
	}
	return key, nil
}

// readClientKeys reads the public keys of clients, one a line, with whatever somebody
// wants to say behind it or on lines that begin with #.
func readClientKeys(name string) ([]relink.PublicKey, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var keys []relink.PublicKey
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		k, err := relink.ParsePublicKey(words[0])
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", name, n, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no key: nobody could come", name)
	}
	return keys, nil
}

// writeSecret writes a secret to a new file. One that is there is not touched: it may
// hold the only copy of a key that clients pin.
func writeSecret(name, secret string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: move it away first, or use it: relink keygen -pub %s", err, name)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, secret)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}
