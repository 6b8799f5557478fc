# Completion of kith for fish: everything is asked from `kith __complete`.
function __kith_complete
    set -l words (commandline -opc) (commandline -ct)
    command $words[1] __complete -- $words[2..-1] 2>/dev/null
end
complete -c kith -f -a '(__kith_complete)'
