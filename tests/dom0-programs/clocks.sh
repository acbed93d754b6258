# sh clocks.sh SECONDS, in the first domain, beside the program `clocks`: whether its clocks are right.
here=${0%/*}
source=/sys/devices/system/clocksource/clocksource0/current_clocksource
show() { echo "clock: date $(date -u +%s), rtc $(cat /sys/class/rtc/rtc0/since_epoch), source $(cat $source)"; }

show
$here/clocks $1
echo "clocks: status $?"
show
# The first domain may set them, and does not change the time that goes by.
date -u -s '2033-01-02 03:04:05' >/dev/null && hwclock -u -w
show
hwclock -u -s
show
# A processor that does not promise a steady counter, as QEMU's, is told apart at boot: that is no surprise.
dmesg | grep -v 'TSCs unsynchronized' | grep -iE 'unstable|skew|warp|clocksource.*(failed|wrong)' | sed 's/^/suspicious: /'
echo "clocks: over"
