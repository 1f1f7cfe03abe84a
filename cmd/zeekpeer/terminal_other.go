//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package main

import (
	"errors"
	"os"
)

// terminalSize knows no terminals on other systems: top prints block after block there.
func terminalSize(*os.File) (width, height int, err error) { return 0, 0, errors.ErrUnsupported }

func readKeys(*os.File, func(byte)) (func(), error) { return nil, errors.ErrUnsupported }
