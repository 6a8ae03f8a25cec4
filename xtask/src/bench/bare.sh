# A dockerd as bare as it gets, from the root file system $1: run in new mount, pid, net, ipc and uts namespaces.
# Everything mounted here goes away with the mount namespace.
set -eu
root=$1
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
if grep -q '^[1-9]' /proc/self/cgroup; then
    mount -t tmpfs cgroup "$root/sys/fs/cgroup"
    while IFS=: read -r number controllers path; do
        [ "$number" != 0 ] || continue
        folder="$root/sys/fs/cgroup/${controllers#name=}"
        mkdir "$folder"
        mount -t cgroup -o "$controllers" cgroup "$folder"
    done </proc/self/cgroup
else
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
fi
ip link set lo up
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C \
    chroot "$root" dockerd --host unix:///bench/docker.sock
