_tas() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="tas"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        tas)
            opts="-h -V --ip-addr --ip-route --arp-timeout --arp-timeout-max --kni-name --fp-cores-max --fp-no-ints --fp-no-xsumoffload --fp-no-autoscale --fp-no-hugepages --fp-vlan-strip --fp-poll-interval-tas --fp-poll-interval-app --dpdk-extra --shm-len --app-shm-len --app-shm-total --nic-rx-len --nic-tx-len --app-kin-len --app-kout-len --tcp-rtt-init --tcp-link-bw --tcp-rxbuf-len --tcp-txbuf-len --tcp-handshake-timeout --tcp-handshake-retries --tcp-time-wait --tcp-rto-min --tcp-path-mtu-min --cc --cc-control-granularity --cc-control-interval --cc-rexmit-ints --cc-dctcp-weight --cc-dctcp-init --cc-dctcp-step --cc-dctcp-mimd --cc-dctcp-min --cc-dctcp-minpkts --cc-const-rate --cc-timely-tlow --cc-timely-thigh --cc-timely-step --cc-timely-init --cc-timely-alpha --cc-timely-beta --cc-timely-minrtt --cc-timely-minrate --shm-mode --shm-group --no-legacy --allow-uid --allow-gid --allow-low-ports --trace --trace-len --trace-snap --metrics-addr --ready-fd --quiet --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --ip-addr)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ip-route)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --arp-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --arp-timeout-max)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --kni-name)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --fp-cores-max)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --fp-poll-interval-tas)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --fp-poll-interval-app)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --dpdk-extra)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --shm-len)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --app-shm-len)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --app-shm-total)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --nic-rx-len)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --nic-tx-len)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --app-kin-len)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --app-kout-len)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tcp-rtt-init)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tcp-link-bw)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tcp-rxbuf-len)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tcp-txbuf-len)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tcp-handshake-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tcp-handshake-retries)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tcp-time-wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tcp-rto-min)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tcp-path-mtu-min)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc)
                    COMPREPLY=($(compgen -W "dctcp-rate dctcp-win timely const-rate" -- "${cur}"))
                    return 0
                    ;;
                --cc-control-granularity)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-control-interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-rexmit-ints)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-dctcp-weight)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-dctcp-init)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-dctcp-step)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-dctcp-mimd)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-dctcp-min)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-dctcp-minpkts)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-const-rate)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-timely-tlow)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-timely-thigh)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-timely-step)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-timely-init)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-timely-alpha)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-timely-beta)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-timely-minrtt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cc-timely-minrate)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --shm-mode)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --shm-group)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-uid)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-gid)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --trace)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --trace-len)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --trace-snap)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics-addr)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ready-fd)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _tas -o nosort -o bashdefault -o default tas
else
    complete -F _tas -o bashdefault -o default tas
fi
