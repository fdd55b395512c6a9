package relink_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/relink-go/relink"
)

// FuzzParseKey reads arbitrary text as keys. Apart from line breaks, which a
// file may have, a key has one spelling; and what was given in its place, which
// may be a secret with a mistake in it, is not repeated.
func FuzzParseKey(f *testing.F) {
	var key relink.PublicKey
	for i := range key {
		key[i] = byte(i)
	}
	f.Add(key.String())
	f.Add(key.String() + "\r\n")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=") // zero
	f.Add("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=") // bits behind the last byte
	f.Add("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==") // 31 bytes
	f.Add(" " + key.String())
	f.Add(strings.TrimSuffix(key.String(), "="))
	f.Add("correct horse battery staple")
	f.Fuzz(func(t *testing.T, text string) {
		private, privateErr := relink.ParsePrivateKey(text)
		public, publicErr := relink.ParsePublicKey(text)
		spelling := strings.NewReplacer("\r", "", "\n", "").Replace(text)
		raw, err := base64.StdEncoding.Strict().DecodeString(spelling)
		valid := err == nil && len(raw) == len(public) && !bytes.Equal(raw, make([]byte, len(raw)))
		switch {
		case (privateErr == nil) != valid || (publicErr == nil) != valid:
			t.Fatalf("%q: %v, %v", text, privateErr, publicErr)
		case !valid && (!private.IsZero() || public != relink.PublicKey{}):
			t.Fatalf("%q: a key and an error", text)
		case !valid:
			_, same := relink.ParsePrivateKey("no key") // says no more than its own text
			if len(spelling) >= 8 && strings.Contains(privateErr.Error(), spelling) && !strings.Contains(same.Error(), spelling) {
				t.Fatalf("the error repeats the key: %v", privateErr)
			}
			return
		case private.EncodeSecret() != spelling || public.String() != spelling:
			t.Fatalf("%q is written as %v", text, public)
		}
		// Every key but zero is one that a server can have, and none shows.
		if private.PublicKey() == (relink.PublicKey{}) || strings.Contains(fmt.Sprint(private), spelling) {
			t.Fatal(private)
		}
	})
}
