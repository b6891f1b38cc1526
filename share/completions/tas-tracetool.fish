complete -c tas-tracetool -l on -d 'Start recording: all events, or some of rxpkt, txpkt, atx, arx, rxfs, txack, txseg, afloqman, rexmit, qmset, qmevt, dmard, dmawr with commas between' -r
complete -c tas-tracetool -l snap -d 'Bytes of each frame, or of data copied, to record' -r
complete -c tas-tracetool -l pcap -d 'Write the recorded frames to this file, for tcpdump or Wireshark; - is standard output' -r -F
complete -c tas-tracetool -l off -d 'Stop recording; what is recorded stays'
complete -c tas-tracetool -l status -d 'Print what is being recorded, and the size of the buffer'
complete -c tas-tracetool -s f -l follow -d 'Go on with new records as they come, the oldest first'
complete -c tas-tracetool -s h -l help -d 'Print help'
complete -c tas-tracetool -s V -l version -d 'Print version'
