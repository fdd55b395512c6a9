//go:build race

package quic_test

const raceDetector = true
