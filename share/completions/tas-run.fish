complete -c tas-run -l listen -d 'Listeners that are TAS\'s, as rules: -:22 leaves port 22 to the kernel, +:80,+:443 leaves all others to it' -r
complete -c tas-run -l connect -d 'Connections that are TAS\'s, as rules: -10.0.0.0/8:22,-192.168.0.0/16' -r
complete -c tas-run -l log -d 'Write what becomes of each socket to the end of this file; without one to standard error' -r
complete -c tas-run -l library -d 'The library to preload, if it is not the one installed with this program' -r -F
complete -c tas-run -l fallback -d 'Without a service, use the kernel\'s sockets instead of failing'
complete -c tas-run -s h -l help -d 'Print help'
complete -c tas-run -s V -l version -d 'Print version'
