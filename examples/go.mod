module github.com/relink-go/relink/examples

go 1.26.2

require (
	github.com/relink-go/relink v0.0.0-00010101000000-000000000000
	github.com/relink-go/relink/transport/kcp v0.0.0-00010101000000-000000000000
	github.com/relink-go/relink/transport/quic v0.0.0-00010101000000-000000000000
	github.com/relink-go/relink/transport/websocket v0.0.0-00010101000000-000000000000
	github.com/schollz/progressbar/v3 v3.19.1
	golang.org/x/term v0.47.0
)

require (
	github.com/cloudflare/circl v1.6.5 // indirect
	github.com/coder/websocket v1.8.15 // indirect
	github.com/juju/ratelimit v1.0.2 // indirect
	github.com/klauspost/cpuid/v2 v2.4.1 // indirect
	github.com/klauspost/reedsolomon v1.14.2 // indirect
	github.com/kr/text v0.2.0 // indirect
	github.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db // indirect
	github.com/pion/transport/v5 v5.1.4 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/quic-go/quic-go v0.61.0 // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/tjfoc/gmsm v1.4.1 // indirect
	github.com/xtaci/kcp-go/v5 v5.7.5 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.61.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace (
	github.com/relink-go/relink => ../
	github.com/relink-go/relink/transport/kcp => ../transport/kcp
	github.com/relink-go/relink/transport/quic => ../transport/quic
	github.com/relink-go/relink/transport/websocket => ../transport/websocket
)
