package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zeekpeer/zeekpeer/endpoint/certs"
)

func certsCommand() *cobra.Command {
	var m certMaker
	cmd := &cobra.Command{
		Use:   "certs --dir DIR NODE...",
		Short: "Make a small CA and certificates for the nodes of a cluster",
		Long: `certs makes what TLS with certificates takes: a CA of this cluster's own, and for each node a
certificate that it signs. Zeek and zeekpeer let in whoever has a certificate of the CA.

The first time it makes DIR/ca.pem and DIR/ca-key.pem; later it uses them, or those of a CA of your
own that you put there. For each NODE it makes NODE.pem and NODE-key.pem. It prints what to put into
local.zeek. Each node needs ca.pem, its own certificate and its own key. ca-key.pem stays where it is:
whoever has it can make peers.

Files that are there are not touched. With --force the certificates and keys of the nodes that are
named are made anew, such as before they expire; the CA never is.`,
		Example: `  zeekpeer certs --dir /etc/zeek-certs manager logger-1 worker-1 worker-2
  zeekpeer certs --dir /etc/zeek-certs --host sensor3.example.org --host 10.0.0.3 worker-3
  zeekpeer certs check --tls-ca ca.pem --tls-cert worker-1.pem --tls-key worker-1-key.pem`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, nodes []string) error {
			m.nodes = nodes
			return m.run(cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&m.dir, "dir", "", "put the files into `DIR`, which is made, with mode 0700, if need be")
	flags.StringArrayVar(&m.hosts, "host", nil, "a further `NAME` or IP address in the certificates, for programs that look at it; Zeek does not (repeatable)")
	flags.IntVar(&m.days, "days", 825, "the nodes' certificates are valid for `N` days")
	flags.StringVar(&m.caName, "ca-name", "zeekpeer CA", "`NAME` of a new CA")
	flags.IntVar(&m.caDays, "ca-days", 3650, "a new CA is valid for `N` days")
	flags.StringVar(&m.caPassphrase, "ca-passphrase-file", "", "`FILE` whose first line is the passphrase of an encrypted ca-key.pem")
	flags.BoolVar(&m.force, "force", false, "make certificates and keys of nodes anew that are there")
	flags.SortFlags = false
	cmd.AddCommand(certsCheckCommand())
	return cmd
}

// A certMaker is the command line of certs.
type certMaker struct {
	dir          string
	nodes, hosts []string
	caName       string
	days, caDays int
	caPassphrase string
	force        bool
}

func (m *certMaker) check() error {
	if m.dir == "" {
		return usageError("say where the files are to be: --dir DIR")
	}
	if len(m.nodes) == 0 {
		return usageError("certs wants the name of one node at least, such as worker-1")
	}
	for i, name := range m.nodes {
		if name == "ca" || strings.HasSuffix(name, "-key") {
			return usageError("%s: no node may have this name, its files would be those of others", name)
		}
		if slices.Contains(m.nodes[:i], name) {
			return usageError("%s is named twice", name)
		}
	}
	const most = math.MaxInt64 / int(24*time.Hour)
	if m.days < 1 || m.caDays < 1 || m.days > most || m.caDays > most {
		return usageError("--days and --ca-days must be from 1 to %d", most)
	}
	return nil
}

// The files of a node, and of the CA, whose name is ca.
func (m *certMaker) certFile(name string) string { return filepath.Join(m.dir, name+".pem") }
func (m *certMaker) keyFile(name string) string  { return filepath.Join(m.dir, name+"-key.pem") }

func (m *certMaker) run(stdout io.Writer) error {
	if err := m.check(); err != nil {
		return err
	}
	var err error
	if m.dir, err = filepath.Abs(m.dir); err != nil {
		return err
	}
	if !m.force {
		if err := m.refuseExisting(); err != nil {
			return err
		}
	}
	ca, isNew, err := m.authority()
	if err != nil {
		return err
	}
	// All are made before the first is written, so that a wrong name leaves nothing behind.
	pairs := make([]*certs.Pair, len(m.nodes))
	for i, name := range m.nodes {
		pairs[i], err = ca.Issue(certs.Request{Name: name, Hosts: m.hosts, Validity: time.Duration(m.days) * 24 * time.Hour})
		if err != nil {
			return usageError("%w", err)
		}
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	verb := "uses"
	if isNew {
		verb = "made"
		if err := ca.WriteFiles(m.certFile("ca"), m.keyFile("ca"), false); err != nil {
			return err
		}
	}
	text := new(strings.Builder)
	fmt.Fprintf(text, "%s %s and %s, valid until %s\n", verb, m.certFile("ca"), m.keyFile("ca"), day(ca.Certificate.NotAfter))
	for i, name := range m.nodes {
		if err := pairs[i].WriteFiles(m.certFile(name), m.keyFile(name), m.force); err != nil {
			return err
		}
		fmt.Fprintf(text, "made %s and %s, valid until %s\n", m.certFile(name), m.keyFile(name), day(pairs[i].Certificate.NotAfter))
	}
	m.advise(text)
	_, err = io.WriteString(stdout, text.String())
	return outputError(err)
}

// refuseExisting names all files that would have to be written over.
func (m *certMaker) refuseExisting() error {
	var there []string
	for _, name := range m.nodes {
		for _, file := range []string{m.certFile(name), m.keyFile(name)} {
			if _, err := os.Lstat(file); err == nil {
				there = append(there, file)
			}
		}
	}
	if len(there) > 0 {
		return fmt.Errorf("these files are there, and nothing was made: %s; --force makes them anew", strings.Join(there, ", "))
	}
	return nil
}

// authority reads the CA, or makes one if there is none.
func (m *certMaker) authority() (ca *certs.Authority, isNew bool, err error) {
	passphrase, err := readPassphrase(m.caPassphrase)
	if err != nil {
		return nil, false, err
	}
	_, certErr := os.Stat(m.certFile("ca"))
	_, keyErr := os.Stat(m.keyFile("ca"))
	switch {
	case certErr == nil && errors.Is(keyErr, fs.ErrNotExist):
		return nil, false, fmt.Errorf("there is a CA, %s, but not its key, %s: bring that here, or make the certificates where it is", m.certFile("ca"), m.keyFile("ca"))
	case errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist):
		ca, err = certs.NewAuthority(certs.Request{Name: m.caName, Validity: time.Duration(m.caDays) * 24 * time.Hour})
		if err != nil {
			return nil, false, usageError("--ca-name: %w", err)
		}
		return ca, true, nil
	}
	ca, err = certs.LoadAuthority(m.certFile("ca"), m.keyFile("ca"), passphrase)
	return ca, false, err
}

// advise says what to do with the files.
func (m *certMaker) advise(text *strings.Builder) {
	cert, key := fmt.Sprintf("%q", m.certFile(m.nodes[0])), fmt.Sprintf("%q", m.keyFile(m.nodes[0]))
	which := ""
	if len(m.nodes) > 1 {
		begin := fmt.Sprintf(`%q + getenv("CLUSTER_NODE") + `, m.dir+string(filepath.Separator))
		cert, key = begin+`".pem"`, begin+`"-key.pem"`
		which = ", with the names of its node"
	}
	fmt.Fprintf(text, `
Each node needs ca.pem, its own certificate and its own key. Keep ca-key.pem to yourself.

Zeek, in local.zeek:
  redef Broker::ssl_cafile = %q;
  redef Broker::ssl_certificate = %s;
  redef Broker::ssl_keyfile = %s;

zeekpeer%s:
  --tls cert --tls-ca %s --tls-cert %s --tls-key %s
`, m.certFile("ca"), cert, key, which, shellWord(m.certFile("ca")), shellWord(m.certFile(m.nodes[0])), shellWord(m.keyFile(m.nodes[0])))
}

// shellWord quotes a word for the shell if it has to be.
func shellWord(word string) string {
	if strings.ContainsAny(word, " \t\n'\"\\$`;&|<>()*?[]#~!{}") {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

// certFlags are the flags that name the files of TLS with certificates.
type certFlags struct {
	files          certs.Files
	passphraseFile string
}

func (f *certFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.files.CAFile, "tls-ca", "", "`FILE` with the certificates of the CAs that are trusted, in PEM")
	flags.StringVar(&f.files.CADir, "tls-ca-dir", "", "`DIR` with such files (*.pem, *.crt, *.cer, and hashed names)")
	flags.StringVar(&f.files.CertFile, "tls-cert", "", "`FILE` with the certificate of this node, in PEM")
	flags.StringVar(&f.files.KeyFile, "tls-key", "", "`FILE` with the private key of this node, in PEM")
	flags.StringVar(&f.passphraseFile, "tls-passphrase-file", "", "`FILE` whose first line is the passphrase of an encrypted key")
	flags.StringArrayVar(&f.files.AllowedNames, "tls-allow", nil, "let in only peers with this `NAME`, or a pattern such as worker-*, in their certificate (repeatable)")
}

// set tells whether any of the flags is given.
func (f *certFlags) set() bool {
	return f.files.CAFile+f.files.CADir+f.files.CertFile+f.files.KeyFile+f.passphraseFile != "" || f.files.AllowedNames != nil
}

// load reads the files.
func (f *certFlags) load() (*certs.Store, error) {
	if f.files.CAFile == "" && f.files.CADir == "" || f.files.CertFile == "" || f.files.KeyFile == "" {
		return nil, usageError("certificates take --tls-ca FILE (or --tls-ca-dir DIR), --tls-cert FILE and --tls-key FILE")
	}
	var err error
	if f.files.Passphrase, err = readPassphrase(f.passphraseFile); err != nil {
		return nil, err
	}
	return certs.Load(f.files)
}

// readPassphrase reads the first line of a file, if one is named. A passphrase on the command line
// could be read by everybody on the machine.
func readPassphrase(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("passphrase: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("passphrase: %s: its first line is empty", file)
	}
	return line, nil
}

func certsCheckCommand() *cobra.Command {
	var f certFlags
	cmd := &cobra.Command{
		Use:   "check --tls-ca FILE --tls-cert FILE --tls-key FILE",
		Short: "Check the files of a node, and print what is in them",
		Long: `check reads the files of a node as Zeek or zeekpeer would, and checks all that a peer would check:
that the CA signed the certificate, that the key belongs to it, that both are valid now. It prints
names, issuer and validity. What should be seen to soon is a warning, on standard error.`,
		Example: "  zeekpeer certs check --tls-ca ca.pem --tls-cert worker-1.pem --tls-key worker-1-key.pem",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := f.load()
			if err != nil {
				return err
			}
			text := new(strings.Builder)
			fmt.Fprintf(text, "certificate\n")
			printCertificate(text, s.Certificate())
			for _, ca := range s.Authorities() {
				fmt.Fprintf(text, "trusted CA\n")
				printCertificate(text, ca)
			}
			for _, warning := range s.Warnings() {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", warning)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text.String())
			return outputError(err)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().SortFlags = false
	return cmd
}

// printCertificate prints a certificate for people.
func printCertificate(text *strings.Builder, c *x509.Certificate) {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	fmt.Fprintf(text, "  subject   %v\n", c.Subject)
	if len(names) > 0 {
		fmt.Fprintf(text, "  names     %s\n", strings.Join(names, ", "))
	}
	fmt.Fprintf(text, "  issuer    %v\n", c.Issuer)
	fmt.Fprintf(text, "  valid     %s to %s (%d days left)\n", day(c.NotBefore), day(c.NotAfter), int(time.Until(c.NotAfter).Hours()/24))
	fmt.Fprintf(text, "  key       %v\n", c.PublicKeyAlgorithm)
	fmt.Fprintf(text, "  serial    %x\n", c.SerialNumber)
}

// day is the day of a date in a certificate, in UTC.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
