# Completion of tsdaemon for bash: source this file, or put it, as "tsdaemon", into a folder where
# bash-completion looks (/usr/share/bash-completion/completions).

_tsdaemon() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local command=${COMP_WORDS[1]} words='' i
    [ "$COMP_CWORD" -gt 1 ] || command=
    case $command in
    numbers | hash) [ "$COMP_CWORD" -gt 2 ] && command+=" ${COMP_WORDS[2]}" ;;
    esac
    COMPREPLY=()

    case $before in
    --config | --token-file)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    --state)
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
        return
        ;;
    --only | --without) words='admin callback counter hash numbers timestamp' ;;
    --log-format) words='json text' ;;
    --set | --drain-timeout | --url | --timeout | --connections | --rate | --to) return ;;
    esac

    if [ -z "$words" ]; then
        case $command in
        '') words='check status timestamp numbers hash --version --help' ;;
        check)
            words='--config --set --only --without --state --log-format --drain-timeout --help'
            ;;
        status) words='--url --json --help' ;;
        timestamp) words='--help' ;;
        numbers) words='send --help' ;;
        hash) words='submit wait --help' ;;
        'numbers send')
            words='--connections --to --rate --timeout --help'
            if [[ $word != -* ]]; then
                for ((i = 3; i < COMP_CWORD; i++)); do
                    case ${COMP_WORDS[i]} in -?*) i=$((i + 1)) ;; *) return ;; esac
                done
                mapfile -t COMPREPLY < <(compgen -f -- "$word")
                return
            fi
            ;;
        'hash submit') words='--url --token-file --help' ;;
        'hash wait') words='--url --timeout --help' ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -o filenames -F _tsdaemon tsdaemon
