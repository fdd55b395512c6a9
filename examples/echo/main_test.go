package main

func Example_run() {
	if err := run("hello"); err != nil {
		panic(err)
	}
	// Output: hello
}
