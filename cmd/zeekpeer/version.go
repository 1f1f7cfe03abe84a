package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/zeekpeer/zeekpeer/wire"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program and of the protocol",
		Example: "  zeekpeer version",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("version takes no arguments")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			version, revision := programVersion()
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "zeekpeer %s%s, Broker native protocol %d (Zeek 5.0 to 9.0), %s %s/%s\n",
				version, revision, wire.ProtocolVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// programVersion returns the version of this program and, after a blank, the revision it was built from, if known.
func programVersion() (version, revision string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown", ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = " " + s.Value[:min(len(s.Value), 12)]
		}
	}
	return info.Main.Version, revision
}
