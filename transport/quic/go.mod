module github.com/relink-go/relink/transport/quic

go 1.25.0

require (
	github.com/quic-go/quic-go v0.61.0
	github.com/relink-go/relink v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.12.1
	golang.org/x/net v0.56.0
)

require (
	github.com/cloudflare/circl v1.6.5 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.54.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace github.com/relink-go/relink => ../..
