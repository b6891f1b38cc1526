complete -c tas -l ip-addr -d 'Local address, required; may be repeated, up to 16. LEN is the length of the on-link prefix; it defaults to 0: everything is on-link' -r
complete -c tas -l ip-route -d 'Route: packets for DEST/LEN go to NEXTHOP; may be repeated, up to 64; the longest prefix wins. LEN defaults to 32, and DEST has no bits set beyond it' -r
complete -c tas -l arp-timeout -d 'First ARP retry after this time; doubles with each' -r
complete -c tas -l arp-timeout-max -d 'Give up on a neighbour when the ARP retry interval exceeds this' -r
complete -c tas -l kni-name -d 'Kernel network interface of this name beside the service (no effect yet) [default: off]' -r
complete -c tas -l fp-cores-max -d 'Fast-path threads, up to 16. The EAL needs one lcore more than that' -r
complete -c tas -l fp-poll-interval-tas -d 'Idle time before a service thread blocks; 4294967295 = never' -r
complete -c tas -l fp-poll-interval-app -d 'Idle time before an application blocks; 4294967295 = never' -r
complete -c tas -l dpdk-extra -d 'One argument more for DPDK\'s EAL, for instance --dpdk-extra=--lcores=0@0,1@0; may be repeated' -r
complete -c tas -l shm-len -d 'Size of the region that applications of the original handshake share; rounded up to a multiple of 2 MiB' -r
complete -c tas -l app-shm-len -d 'Size of the region of each isolated application; rounded up to a multiple of 2 MiB. Memory is taken on first use' -r
complete -c tas -l app-shm-total -d 'Bound on the regions of all isolated applications together' -r
complete -c tas -l nic-rx-len -d 'Entries of each core\'s queue of frames to the slow path' -r
complete -c tas -l nic-tx-len -d 'Entries of each core\'s queue of frames from the slow path' -r
complete -c tas -l app-kin-len -d 'Size of a context\'s queue from the slow path to the application; a multiple of 64, at least 4096' -r
complete -c tas -l app-kout-len -d 'Size of a context\'s queue from the application to the slow path; a multiple of 64, at least 4096' -r
complete -c tas -l tcp-rtt-init -d 'Round-trip time assumed before one is measured' -r
complete -c tas -l tcp-link-bw -d 'Link bandwidth in Gbit/s; dctcp-win turns a window into a rate with it' -r
complete -c tas -l tcp-rxbuf-len -d 'Receive buffer of a connection, 2048 to 67108864; rounded up to a multiple of 64. Programs on sockets have 8192, too, once half of their memory is in use [default: 8192; 65536 on sockets]' -r
complete -c tas -l tcp-txbuf-len -d 'Transmit buffer of a connection, as --tcp-rxbuf-len [default: 8192; 65536 on sockets]' -r
complete -c tas -l tcp-handshake-timeout -d 'First SYN timeout; doubles with each retry, with 50 % of randomness either way' -r
complete -c tas -l tcp-handshake-retries -d 'Handshake retries before giving up, up to 30' -r
complete -c tas -l tcp-time-wait -d 'Duration of TIME-WAIT' -r
complete -c tas -l tcp-rto-min -d 'Lower bound of the retransmission timeout' -r
complete -c tas -l tcp-path-mtu-min -d 'Least path MTU that is believed when routers say that packets are too large for the links behind them' -r
complete -c tas -l cc -d 'Congestion control algorithm' -r -f -a "dctcp-rate\t''
dctcp-win\t''
timely\t''
const-rate\t''"
complete -c tas -l cc-control-granularity -d 'Shortest time between two control steps of a connection' -r
complete -c tas -l cc-control-interval -d 'Control interval in round-trip times' -r
complete -c tas -l cc-rexmit-ints -d 'Control intervals without progress before a retransmission timeout (no effect: the timeout follows RFC 6298 and --tcp-rto-min)' -r
complete -c tas -l cc-dctcp-weight -d 'DCTCP: EWMA weight of the marked fraction, 0 to 1' -r
complete -c tas -l cc-dctcp-init -d 'DCTCP: initial rate' -r
complete -c tas -l cc-dctcp-step -d 'DCTCP: additive increase' -r
complete -c tas -l cc-dctcp-mimd -d 'DCTCP: multiplicative increase factor, 1 to 2 [default: off]' -r
complete -c tas -l cc-dctcp-min -d 'DCTCP: lowest rate, down to 1 Mbit/s if lasting marks or losses tell that it is too much' -r
complete -c tas -l cc-dctcp-minpkts -d 'DCTCP: packets acknowledged before the rate is adapted' -r
complete -c tas -l cc-const-rate -d 'const-rate: the rate of each connection; 0 = unlimited' -r
complete -c tas -l cc-timely-tlow -d 'TIMELY: below this round-trip time the rate always rises' -r
complete -c tas -l cc-timely-thigh -d 'TIMELY: above this round-trip time the rate always falls' -r
complete -c tas -l cc-timely-step -d 'TIMELY: additive increase' -r
complete -c tas -l cc-timely-init -d 'TIMELY: initial rate' -r
complete -c tas -l cc-timely-alpha -d 'TIMELY: EWMA weight of the round-trip time difference, 0 to 1' -r
complete -c tas -l cc-timely-beta -d 'TIMELY: multiplicative decrease factor, 0 to 1' -r
complete -c tas -l cc-timely-minrtt -d 'TIMELY: smallest round-trip time of the network' -r
complete -c tas -l cc-timely-minrate -d 'TIMELY: lowest rate, down to 1 Mbit/s if losses or a queue of twice T_high ask for it' -r
complete -c tas -l shm-mode -d 'Octal mode of the files and the socket that applications open' -r
complete -c tas -l shm-group -d 'Group of the files and the socket that applications open, name or number [default: tas if there is such a group, otherwise the service\'s own]' -r
complete -c tas -l allow-uid -d 'User, by name or number, that may attach; may be repeated [default: everybody whom mode and group let in]' -r
complete -c tas -l allow-gid -d 'Group, by name or number, whose members may attach; may be repeated [default: everybody whom mode and group let in]' -r
complete -c tas -l trace -d 'Record these events from the start: all, or some of rxpkt, txpkt, atx, arx, rxfs, txack, txseg, afloqman, rexmit, qmset, qmevt, dmard, dmawr with commas between. tracetool switches recording at any time [default: none]' -r
complete -c tas -l trace-len -d 'Bytes that each fast-path thread keeps of its records, 131072 to 1073741824. The memory is taken when recording is first switched on' -r
complete -c tas -l trace-snap -d 'Bytes of a frame, or of data copied, that are recorded when --trace asks for them' -r
complete -c tas -l metrics-addr -d 'Serve all counters to Prometheus by HTTP on this address and port of the host, at /metrics [default: off]' -r
complete -c tas -l ready-fd -d 'When ready, write 8 bytes to this descriptor: the number 1 in host byte order (an eventfd works) [default: off]' -r
complete -c tas -l fp-no-ints -d 'Only poll: service threads never block and are not woken by eventfd'
complete -c tas -l fp-no-xsumoffload -d 'Compute checksums in software even where the NIC can'
complete -c tas -l fp-no-autoscale -d 'Keep all --fp-cores-max threads always on; otherwise the first is, and the load and requests decide about the others'
complete -c tas -l fp-no-hugepages -d 'Put the shared regions in /dev/shm instead of huge pages'
complete -c tas -l fp-vlan-strip -d 'Let the NIC strip VLAN tags'
complete -c tas -l no-legacy -d 'Do not serve the original\'s handshake and shared region: every application gets a region of its own'
complete -c tas -l allow-low-ports -d 'Let applications without CAP_NET_BIND_SERVICE listen on ports below 1024'
complete -c tas -l quiet -d 'Print no periodic statistics'
complete -c tas -s h -l help -d 'Print this help'
complete -c tas -s V -l version -d 'Print the version'
