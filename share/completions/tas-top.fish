complete -c tas-top -s d -l interval -d 'Seconds between two looks, 0.1 to 60' -r
complete -c tas-top -l once -d 'Look twice, print plain text, and end'
complete -c tas-top -s b -l batch -d 'Print plain text again and again'
complete -c tas-top -l json -d 'Look once and print all numbers as one JSON document'
complete -c tas-top -s h -l help -d 'Print help'
complete -c tas-top -s V -l version -d 'Print version'
