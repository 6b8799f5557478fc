# Completion of kith for bash: everything is asked from `kith __complete`.
_kith() {
    # Bash breaks words at colons and equals signs; an address is one word.
    local line=${COMP_LINE:0:COMP_POINT} words current
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${words[-1]}

    local word
    COMPREPLY=()
    while IFS=$'\t' read -r word _; do
        [[ -n $word ]] && COMPREPLY+=("$word")
    done < <(command "${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)

    # No space behind what goes on: a scheme or a directory.
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[:/] ]]; then compopt -o nospace 2>/dev/null; fi
    # What readline inserts replaces only what follows the last break.
    local breaks="" break
    for break in : = @; do [[ $COMP_WORDBREAKS == *"$break"* ]] && breaks+=$break; done
    if [[ -n $breaks && $current == *[$breaks]* ]]; then
        local before=${current%"${current##*[$breaks]}"}
        COMPREPLY=("${COMPREPLY[@]#"$before"}")
    fi
}
complete -F _kith kith
