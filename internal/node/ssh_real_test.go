package node

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// realLogin has dropbear of a node image serve a copy of that image, as a machine does, and
// somebody log in there who tries to change it.
const realLogin = `
mount -t tmpfs t "$DIR" && mkdir "$DIR/upper" "$DIR/work" "$DIR/root" && root="$DIR/root"
mount -t overlay o -o "lowerdir=$IMAGE,upperdir=$DIR/upper,workdir=$DIR/work" "$root"
mount --bind /dev "$root/dev" && mount -t proc p "$root/proc"
chroot "$root" /usr/bin/dropbearkey -t ed25519 -f /root/key > "$DIR/key" 2>&1
mkdir -p "$root/etc/dropbear" "$root/home/azureuser/.ssh"
echo "azureuser:x:1000:1000::/home/azureuser:/bin/bash" >> "$root/etc/passwd"
echo "azureuser:x:1000:" >> "$root/etc/group"
echo "azureuser:*:19000:0:99999:7:::" >> "$root/etc/shadow"
grep ^ssh- "$DIR/key" > "$root/home/azureuser/.ssh/authorized_keys"
chown -R 1000:1000 "$root/home/azureuser" && chmod 700 "$root/home/azureuser/.ssh" && chmod 600 "$root/home/azureuser/.ssh/authorized_keys"
chroot "$root" /usr/sbin/dropbear -F -E -R -s -g -w -p "127.0.0.1:$PORT" 2> "$DIR/log" &
server=$!
for try in 1 2 3 4 5 6 7 8 9 10; do
	chroot "$root" /usr/bin/dbclient -y -y -i /root/key -p "$PORT" azureuser@127.0.0.1 '
		id -un
		for file in /etc/passwd /usr/bin/tool /opt/cni/bin/ptp /boot/kernel /etc/berth; do echo x >> $file && echo changed $file; done
		echo | su -c "id -un"
		for held in $(find / -xdev -perm -4000 2>/dev/null); do case $held in */su|*/passwd|*/chsh|*/chfn|*/newgrp|*/gpasswd|*/mount|*/umount) ;; *) echo "setuid $held" ;; esac; done
	' 2> /dev/null && break
	sleep 1
done
kill $server
echo "log:"
cat "$DIR/log"
`

// Somebody who logs in is named, and can change nothing of the image: the account has no
// way to become root (I1, G2). It is what dropbear says that tells of it.
func TestARealLogin(t *testing.T) {
	images, err := filepath.Glob("../../build/rootfs/v*")
	if err != nil || len(images) == 0 {
		t.Skip("needs build/rootfs: make build")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root: namespaces and mounts")
	}
	image, err := filepath.EvalSymlinks(images[0])
	if err != nil {
		t.Fatal(err)
	}
	if image, err = filepath.Abs(image); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_ = listener.Close()
	command := exec.Command("/bin/sh", "-c", realLogin)
	command.Env = append(os.Environ(), "DIR="+t.TempDir(), "IMAGE="+image, "PORT="+port)
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := command.CombinedOutput()
	if err != nil && strings.Contains(err.Error(), "operation not permitted") {
		t.Skipf("needs the right to make namespaces: %v", err)
	}
	did, log, found := strings.Cut(string(out), "log:\n")
	if err != nil || !found || did != "azureuser\n" {
		t.Fatalf("who logged in got to: %s, %v", out, err)
	}
	logins := 0
	for line := range strings.Lines(log) {
		if said, is := loginOf(strings.TrimSuffix(line, "\n"), "azureuser", time.Now()); is {
			logins++
			if host, _, err := net.SplitHostPort(said.from); err != nil || host != "127.0.0.1" || said.kind != "ssh-ed25519" || !strings.HasPrefix(said.key, "SHA256:") {
				t.Errorf("%+v", said)
			}
		}
	}
	if logins != 1 {
		t.Errorf("%d logins in the log of %s on port %s: %s", logins, strconv.Quote(image), port, log)
	}
}
