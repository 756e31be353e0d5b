package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"
)

// azCloud is the name of Berth among az's clouds.
const azCloud = "Berth"

func (s *session) loginCommand() *cobra.Command {
	az := &cobra.Command{
		Use:   "az",
		Short: "Register Berth as a cloud of az and log az in to it",
		Long: `Register Berth as a cloud of az, choose it, and log az in. Run it as often as you like. az keeps this
in a directory of its own (AZURE_CONFIG_DIR), so that your logins to other clouds stay as they are; the
shell that runs az needs the same variables:

    eval "$(berth env)"`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			return s.loginAz(command.Context())
		},
	}
	az.Flags().StringVar(&s.stateDir, "state-dir", "", "where the Berth on this host keeps its state (BERTH_STATE_DIR or "+defaultStateDir+")")
	return noun("login", "Log other programs in to Berth", az)
}

func (s *session) loginAz(ctx context.Context) error {
	settings, err := s.settings()
	if err != nil {
		return err
	}
	getenv, err := s.environment()
	if err != nil {
		return err
	}
	program, err := exec.LookPath("az")
	if err != nil {
		return errors.New("az is not installed: apt-get install azure-cli")
	}
	az := azTool{program: program, getenv: getenv}
	if dir := getenv("AZURE_CONFIG_DIR"); dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make az's directory: %w", err)
		}
	}
	active, err := az.register(ctx, settings.endpoint)
	if err != nil {
		return err
	}
	if !active {
		if _, err := az.run(ctx, "cloud", "set", "--name", azCloud); err != nil {
			return err
		}
	}
	if err := az.login(ctx, settings); err != nil {
		return err
	}
	fmt.Fprintf(s.streams.Err, "az is logged in to Berth, subscription %s.\n", settings.subscription)
	if s.program.Getenv("AZURE_CONFIG_DIR") != getenv("AZURE_CONFIG_DIR") {
		fmt.Fprintln(s.streams.Err, `For az in this shell: eval "$(berth env)"`)
	}
	return nil
}

// azTool runs az with Berth's environment.
type azTool struct {
	program string
	getenv  func(string) string
}

// run returns what az prints. Its error carries the arguments and what az said.
func (t azTool) run(ctx context.Context, args ...string) ([]byte, error) {
	args = append(args, "--output", "json", "--only-show-errors")
	command := exec.CommandContext(ctx, t.program, args...)
	command.Env = os.Environ()
	for _, name := range []string{"AZURE_CONFIG_DIR", "REQUESTS_CA_BUNDLE", "AZURE_CORE_COLLECT_TELEMETRY"} {
		if value := t.getenv(name); value != "" {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("az %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// register makes Berth a cloud of az, at the endpoint that it has now, and says whether az is set to it already.
func (t azTool) register(ctx context.Context, endpoint string) (active bool, err error) {
	out, err := t.run(ctx, "cloud", "list")
	if err != nil {
		return false, err
	}
	var clouds []struct {
		Name      string `json:"name"`
		Active    bool   `json:"isActive"`
		Endpoints struct {
			ResourceManager string `json:"resourceManager"`
		} `json:"endpoints"`
	}
	if err := json.Unmarshal(out, &clouds); err != nil {
		return false, fmt.Errorf("read az's clouds: %w", err)
	}
	for _, cloud := range clouds {
		if cloud.Name != azCloud {
			continue
		}
		if strings.TrimRight(cloud.Endpoints.ResourceManager, "/") == endpoint {
			return cloud.Active, nil
		}
		// az cannot remove the cloud it is set to, and an update would keep the other endpoints of the old one.
		if cloud.Active {
			if _, err := t.run(ctx, "cloud", "set", "--name", "AzureCloud"); err != nil {
				return false, err
			}
		}
		if _, err := t.run(ctx, "cloud", "unregister", "--name", azCloud); err != nil {
			return false, err
		}
	}
	_, err = t.run(ctx, "cloud", "register", "--name", azCloud, "--endpoint-resource-manager", endpoint)
	return false, err
}

// login hands the secret over in a file, since other users see the arguments of a process.
func (t azTool) login(ctx context.Context, settings settings) error {
	file, err := os.CreateTemp("", "berth-login-") // mode 0600
	if err != nil {
		return fmt.Errorf("log az in: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.WriteString(settings.clientSecret)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("log az in: %w", err)
	}
	out, err := t.run(ctx, "login", "--service-principal", "--username", settings.clientID, "--password", "@"+file.Name(), "--tenant", settings.tenant)
	if err != nil {
		return err
	}
	var subscriptions []struct {
		ID      string `json:"id"`
		Default bool   `json:"isDefault"`
	}
	if err := json.Unmarshal(out, &subscriptions); err != nil {
		return fmt.Errorf("read az's subscriptions: %w", err)
	}
	for _, subscription := range subscriptions {
		if subscription.Default && strings.EqualFold(subscription.ID, settings.subscription) {
			return nil
		}
	}
	_, err = t.run(ctx, "account", "set", "--subscription", settings.subscription)
	return err
}
