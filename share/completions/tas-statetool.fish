complete -c tas-statetool -l json -d 'Print one JSON document: an array with an object for each connection'
complete -c tas-statetool -s h -l help -d 'Print help'
complete -c tas-statetool -s V -l version -d 'Print version'
