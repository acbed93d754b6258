# sh stress.sh SECONDS, in the first domain, from the disk that it is on: what a kernel does for processes, much of it
# at once, and all of it checked.
here=${0%/*}
for part in proc sys dev; do mount -o bind /$part $here/$part; done
mount -t tmpfs tmpfs $here/tmp

# compat: a program for 32-bit processors, which starts many others, against one for 64-bit ones.
compat() {
    rounds=0 bad=0
    while [ ! -e /tmp/over ]; do
        wanted=$(head -c 300000 /dev/urandom | tee /tmp/data | md5sum)
        found=$($here/busybox-i386 sh -c "$here/busybox-i386 cat /tmp/data | $here/busybox-i386 md5sum")
        sum=$($here/busybox-i386 awk 'BEGIN { for (i = 0; i < 20000; i++) s += i / 2; printf "%d", s }')
        $here/busybox-i386 usleep 1000 || bad=$((bad + 1))
        [ "$wanted" = "$found" ] && [ "$sum" = 99995000 ] || bad=$((bad + 1))
        rounds=$((rounds + 1))
    done
    echo "compat: $rounds rounds, $bad bad"
}

# stress STRESSORS: each is one of stress-ng's, with its number and options.
part=$(($1 / 4))
stress() {
    # shellcheck disable=SC2068
    chroot $here /usr/bin/stress-ng --timeout $part --temp-path /tmp --verify --metrics-brief $@
    echo "stress: $1 status $?"
}

compat &
other=$!
stress --fork 1 --mmap 1 --mmap-bytes 4m --futex 1 --switch 1
stress --mprotect 1 --sigq 1 --timer 1 --timer-freq 1000 --pipe 1
stress --clone 1 --mremap 1 --mremap-bytes 4m --sigsegv 1 --context 1
stress --vm 1 --vm-bytes 16m --sigfpe 1 --itimer 1 --fp 1
touch /tmp/over
wait $other
echo "self: $(cat /proc/self/comm), $(cat /proc/self/maps | wc -l | sed 's/[1-9][0-9]*/some/') mappings"
echo "stress: over"
