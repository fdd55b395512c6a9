module github.com/relink-go/relink/cmd/relink

go 1.26.2

require (
	github.com/prometheus/client_golang v1.24.1
	github.com/relink-go/relink v0.0.0-00010101000000-000000000000
	github.com/relink-go/relink/metrics/prometheus v0.0.0-00010101000000-000000000000
	github.com/relink-go/relink/transport/kcp v0.0.0-00010101000000-000000000000
	github.com/relink-go/relink/transport/quic v0.0.0-00010101000000-000000000000
	github.com/relink-go/relink/transport/websocket v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.12.1
	go.yaml.in/yaml/v3 v3.0.5
	golang.org/x/sys v0.49.0
	golang.org/x/term v0.47.0
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/cloudflare/circl v1.6.5 // indirect
	github.com/coder/websocket v1.8.15 // indirect
	github.com/juju/ratelimit v1.0.2 // indirect
	github.com/klauspost/cpuid/v2 v2.4.1 // indirect
	github.com/klauspost/reedsolomon v1.14.2 // indirect
	github.com/kr/text v0.2.0 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/pion/transport/v5 v5.1.4 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/prometheus/client_model v0.6.2 // indirect
	github.com/prometheus/common v0.70.1 // indirect
	github.com/prometheus/procfs v0.21.1 // indirect
	github.com/quic-go/quic-go v0.61.0 // indirect
	github.com/tjfoc/gmsm v1.4.1 // indirect
	github.com/xtaci/kcp-go/v5 v5.7.5 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.61.0 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
)

replace github.com/relink-go/relink => ../..

replace github.com/relink-go/relink/metrics/prometheus => ../../metrics/prometheus

replace github.com/relink-go/relink/transport/kcp => ../../transport/kcp

replace github.com/relink-go/relink/transport/quic => ../../transport/quic

replace github.com/relink-go/relink/transport/websocket => ../../transport/websocket
