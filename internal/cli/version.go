package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (s *session) versionCommand() *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:   "version",
		Short: "Show the version of berth",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			version := firstOf(s.program.Version, builtVersion())
			switch output {
			case "json":
				return writeJSON(s.streams.Out, map[string]string{
					"berth": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				})
			case "table":
				_, err := fmt.Fprintf(s.streams.Out, "berth %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return err
			}
			return usageError{fmt.Errorf("--output is %q, want table or json", output)}
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	offer(command, "output", "table", "json")
	command.AddCommand(s.versionList())
	return command
}

// builtVersion is what the Go command recorded in the binary.
func builtVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	version := info.Main.Version
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
			version += " " + setting.Value[:12]
		}
	}
	return version
}
