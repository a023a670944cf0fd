# shellcheck shell=bash disable=SC2034
# Settings and small functions shared by the lab's scripts.

set -euo pipefail

LAB_DIR=${LAB_DIR:-$HOME/.cache/pve-reconcile-lab}
LAB_MEM=${LAB_MEM:-1024}             # MiB per guest
LAB_SMP=${LAB_SMP:-1}                # virtual CPUs per guest
LAB_DISKS=${LAB_DISKS:-6}            # pool disks per guest
LAB_DISK_SIZE=${LAB_DISK_SIZE:-2G}   # each, sparse
LAB_PORT=${LAB_PORT:-22000}          # base of the ports used on 127.0.0.1
LAB_PAIR=${LAB_PAIR:-0}              # which pair of guests: each has disks and ports of its own
LAB_NICE=${LAB_NICE:-10}             # niceness of the guests

lab_src=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lab_hosts=(mirrors2 pve-5)
lab_run=$LAB_DIR/run$LAB_PAIR

# SSH port on 127.0.0.1, the guest's own and its peer's address on the link,
# host id (zfs wants a stable one), pool and the parent of the VM disks.
host_vars() {
  case $1 in
    mirrors2) ssh_port=$((LAB_PORT + 100 * LAB_PAIR + 22)) addr=10.38.95.22 peer=10.38.95.25
      id=0x4d520002 pool=pool0 parent=qemu ;;
    pve-5) ssh_port=$((LAB_PORT + 100 * LAB_PAIR + 25)) addr=10.38.95.25 peer=10.38.95.22
      id=0x50560005 pool=rpool parent=data ;;
    *) die "no such host: $1 (there are: ${lab_hosts[*]})" ;;
  esac
}

say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }
die() { printf 'lab: %s\n' "$*" >&2; exit 1; }

# The PID of a guest's QEMU, if it runs and is indeed that QEMU.
qemu_pid() {
  local pid
  pid=$(cat "$lab_run/$1/qemu.pid" 2>/dev/null) || return 1
  [[ -r /proc/$pid/cmdline && $(tr '\0' ' ' <"/proc/$pid/cmdline") == *" -pidfile $lab_run/$1/qemu.pid "* ]] || return 1
  printf '%s\n' "$pid"
}
