package process_test

import "os"

// noSignal stands for one that only asks whether there is somebody to take it,
// which Windows does not have.
var noSignal = os.Interrupt
