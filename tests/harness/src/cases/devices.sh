# sh devices.sh SECONDS, in the first domain: reads and writes every disk and sends over every network card, all at once
# and for so long, while the interrupts of all of them go from processor to processor.
BLOCKS=16
PLACES=16
# Whole seconds since the start.
now() { cut -d. -f1 /proc/uptime; }
modprobe -a virtio_pci virtio_blk nvme ahci sd_mod virtio_net e1000e

# disk NAME: writes what nobody has seen, reads it back from the device, compares.
disk() {
    name=$1 round=0 bad=0
    while [ $round = 0 ] || [ $(now) -lt $end ]; do
        dd if=/dev/urandom of=/tmp/$name bs=64k count=$BLOCKS 2>/dev/null
        at=$((round % PLACES * BLOCKS))
        dd if=/tmp/$name of=/dev/$name bs=64k count=$BLOCKS seek=$at conv=fsync,notrunc 2>/dev/null
        echo 1 >/proc/sys/vm/drop_caches
        wanted=$(md5sum </tmp/$name)
        found=$(dd if=/dev/$name bs=64k count=$BLOCKS skip=$at 2>/dev/null | md5sum)
        [ "$wanted" = "$found" ] || bad=$((bad + 1))
        round=$((round + 1))
    done
    echo "disk $name: $round rounds, $bad bad"
}

# network DEVICE ADDRESS: sends to somebody who sends everything back.
network() {
    name=$1 round=0 bad=0
    dd if=/dev/urandom of=/tmp/$name bs=64k count=8 2>/dev/null
    wanted=$(md5sum </tmp/$name)
    while [ $round = 0 ] || [ $(now) -lt $end ]; do
        found=$(nc $2 7 </tmp/$name | head -c 524288 | md5sum)
        [ "$wanted" = "$found" ] || bad=$((bad + 1))
        round=$((round + 1))
    done
    echo "network $name: $round rounds, $bad bad"
}

move_interrupts() {
    turn=0 processors=$(nproc)
    while [ ! -e /tmp/over ]; do
        for interrupt in /proc/irq/[0-9]*; do
            printf %x $((1 << (turn % processors))) >$interrupt/smp_affinity
            turn=$((turn + 1))
        done 2>/dev/null
        usleep 100000
    done
}

for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
    [ -b /dev/vdb ] && [ -b /dev/nvme0n1 ] && [ -b /dev/sda ] && break
    sleep 1
done
number=2
for path in /sys/class/net/eth*; do
    card=${path##*/}
    ip address add 10.0.$number.15/24 dev $card
    ip link set $card up
    number=$((number + 1))
done
sleep 3
end=$(($(now) + $1))
move_interrupts &
mover=$!
workers=
for name in vdb nvme0n1 sda; do
    disk $name &
    workers="$workers $!"
done
network eth0 10.0.2.100 &
workers="$workers $!"
network eth1 10.0.3.100 &
workers="$workers $!"
wait $workers
touch /tmp/over
wait $mover
grep xen-pirq /proc/interrupts | grep -v i8042
dmesg | grep -iE 'lost|timed out|timeout|nobody cared|spurious' | sed 's/^/suspicious: /'
# What the kernel calls at least a warning.
dmesg -r | sed -n 's/^<\([0-4]\)>/level \1 /p'
echo "devices: over"
