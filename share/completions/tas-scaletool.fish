complete -c tas-scaletool -s h -l help -d 'Print help'
complete -c tas-scaletool -s V -l version -d 'Print version'
