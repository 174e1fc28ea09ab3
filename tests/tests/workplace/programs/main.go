// What a Go program takes for granted.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"sync"
	"sync/atomic"
	"time"
)

func check(what string, err error) {
	if err != nil {
		fmt.Println(what+":", err)
	} else {
		fmt.Println(what + ": ok")
	}
}

func serve() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "served")
	}))
	answer, err := http.Get("http://" + listener.Addr().String())
	if err != nil {
		return err
	}
	body, err := io.ReadAll(answer.Body)
	if err == nil && string(body) != "served" {
		err = fmt.Errorf("served %q", body)
	}
	return err
}

func main() {
	var count atomic.Int64
	var all sync.WaitGroup
	for i := 0; i < 1000; i++ {
		all.Add(1)
		go func() { defer all.Done(); time.Sleep(time.Millisecond); count.Add(1) }()
	}
	all.Wait()
	fmt.Println("goroutines:", count.Load())
	output, err := exec.Command("sh", "-c", "echo run").Output()
	if err == nil && string(output) != "run\n" {
		err = fmt.Errorf("%q", output)
	}
	check("exec", err)
	check("http", serve())
	folder, err := os.MkdirTemp("", "go")
	check("temporary folder", err)
	check("its removal", os.RemoveAll(folder))
	_, err = user.Current()
	check("user", err)
	_, err = net.LookupHost("localhost")
	check("resolver", err)
	_, err = os.UserCacheDir()
	check("cache", err)
}
