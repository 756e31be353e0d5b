package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// noun is a command that only has others below it.
func noun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	command := &cobra.Command{Use: use, Short: short}
	command.AddCommand(verbs...)
	return command
}

// verb is a command that calls ARM. It takes flags alone.
func (s *session) verb(use, short string, run func(context.Context, *clients) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			clients, err := s.connect()
			if err != nil {
				return err
			}
			return run(command.Context(), clients)
		},
	}
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	return nil
}

// completionTime is how long the shell's user waits for names.
const completionTime = 3 * time.Second

// nameFlag is a required flag for the name of something. list, which may be nil, finds the names that there are, for the
// shell to complete.
type nameFlag struct {
	flag, short, help string
	list              func(context.Context, *clients) ([]string, error)
}

func (s *session) addName(command *cobra.Command, into *string, name nameFlag) {
	command.Flags().StringVarP(into, name.flag, name.short, "", name.help)
	must(command, name.flag)
	if name.list == nil {
		return
	}
	complete := func(command *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		clients, err := s.connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(command.Context(), completionTime)
		defer cancel()
		names, err := name.list(ctx, clients)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	if err := command.RegisterFlagCompletionFunc(name.flag, complete); err != nil {
		panic(err) // the flag was added above
	}
}

// groupFlag adds --resource-group, which az also takes from AZURE_DEFAULTS_GROUP.
func (s *session) groupFlag(command *cobra.Command, into *string) {
	s.addName(command, into, nameFlag{"resource-group", "g", "name of the resource group (AZURE_DEFAULTS_GROUP)", groupNames})
	s.fallback(command, "resource-group", "AZURE_DEFAULTS_GROUP")
}

// locationFlag adds --location, which az also takes from AZURE_DEFAULTS_LOCATION.
func (s *session) locationFlag(command *cobra.Command, into *string) {
	command.Flags().StringVarP(into, "location", "l", "", "location (AZURE_DEFAULTS_LOCATION)")
	must(command, "location")
	s.fallback(command, "location", "AZURE_DEFAULTS_LOCATION")
}

// fallback gives a required flag the value of a variable if that is set.
func (s *session) fallback(command *cobra.Command, flag, variable string) {
	if value := s.program.Getenv(variable); value != "" {
		found := command.Flags().Lookup(flag)
		found.DefValue = value
		delete(found.Annotations, cobra.BashCompOneRequiredFlag)
		if err := found.Value.Set(value); err != nil {
			panic(err) // a string flag takes every string
		}
	}
}

func must(command *cobra.Command, flag string) {
	if err := command.MarkFlagRequired(flag); err != nil {
		panic(err) // the flag does not exist: a mistake in this package
	}
}

// noWait adds --no-wait.
func noWait(command *cobra.Command) *bool {
	return command.Flags().Bool("no-wait", false, "do not wait until the operation has ended")
}

// yes adds --yes.
func yes(command *cobra.Command) *bool {
	return command.Flags().BoolP("yes", "y", false, "do not ask for confirmation")
}

// confirm asks before something is lost.
func (s *session) confirm(sure bool, question string) error {
	if sure {
		return nil
	}
	in, ok := s.streams.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return errors.New("this needs a confirmation and there is no terminal to ask on: add --yes")
	}
	fmt.Fprintf(s.streams.Err, "%s (y/n): ", question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("not confirmed, nothing was done")
}

// collect reads all pages of a list.
func collect[P, T any](ctx context.Context, pager *runtime.Pager[P], items func(P) []T) ([]T, error) {
	var all []T
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, items(page)...)
	}
	return all, nil
}

// deref is what a pointer of the SDK points to, or the zero value.
func deref[T any](pointer *T) T {
	if pointer == nil {
		var zero T
		return zero
	}
	return *pointer
}

// optional is nil for the zero value: ARM then takes its default.
func optional[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}
