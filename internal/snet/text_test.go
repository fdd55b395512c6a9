package snet

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIsText(t *testing.T) {
	for text, is := range map[string]bool{
		"": true, "HTTP/1.1 302 Found\r\n\t~": true, " ": true, "~": true, "a\x1fb": false, "a\x7fb": false, "\xc3\xa4": false, "\x00": false,
	} {
		require.Equal(t, is, isText([]byte(text)), "%q", text)
	}
}
