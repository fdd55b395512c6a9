module github.com/relink-go/relink/examples

go 1.25.0

require (
	github.com/relink-go/relink v0.0.0-00010101000000-000000000000
	github.com/relink-go/relink/transport/quic v0.0.0-00010101000000-000000000000
	github.com/relink-go/relink/transport/websocket v0.0.0-00010101000000-000000000000
	github.com/schollz/progressbar/v3 v3.19.1
	golang.org/x/term v0.45.0
)

require (
	github.com/cloudflare/circl v1.6.5 // indirect
	github.com/coder/websocket v1.8.15 // indirect
	github.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db // indirect
	github.com/quic-go/quic-go v0.61.0 // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	golang.org/x/crypto v0.54.0 // indirect
	golang.org/x/net v0.56.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace (
	github.com/relink-go/relink => ../
	github.com/relink-go/relink/transport/quic => ../transport/quic
	github.com/relink-go/relink/transport/websocket => ../transport/websocket
)
