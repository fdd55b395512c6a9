module github.com/relink-go/relink/transport/proxyproto/oracle

go 1.25.0

require (
	github.com/pires/go-proxyproto v0.15.0
	github.com/relink-go/relink v0.0.0-00010101000000-000000000000
)

replace github.com/relink-go/relink => ../../..
