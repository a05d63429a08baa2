# Completion of tsdaemon for fish: put this file into ~/.config/fish/completions.

set -l commands check status timestamp numbers hash
set -l services 'admin callback counter hash numbers timestamp'

complete -c tsdaemon -f
complete -c tsdaemon -n "not __fish_seen_subcommand_from $commands" -a check -d 'Check settings'
complete -c tsdaemon -n "not __fish_seen_subcommand_from $commands" -a status -d 'Tell how it is'
complete -c tsdaemon -n "not __fish_seen_subcommand_from $commands" -a timestamp -d 'Round trip'
complete -c tsdaemon -n "not __fish_seen_subcommand_from $commands" -a numbers -d 'Feed numbers'
complete -c tsdaemon -n "not __fish_seen_subcommand_from $commands" -a hash -d 'Hash passwords'
complete -c tsdaemon -n "not __fish_seen_subcommand_from $commands" -l version -d 'Print the version'
complete -c tsdaemon -l help -d 'Print help'

complete -c tsdaemon -n '__fish_seen_subcommand_from check' -l config -r -F -d 'TOML file'
complete -c tsdaemon -n '__fish_seen_subcommand_from check' -l set -x -d 'TABLE.KEY=VALUE'
complete -c tsdaemon -n '__fish_seen_subcommand_from check' -l only -x -a $services
complete -c tsdaemon -n '__fish_seen_subcommand_from check' -l without -x -a $services
complete -c tsdaemon -n '__fish_seen_subcommand_from check' -l state -r -F -d 'Folder for state'
complete -c tsdaemon -n '__fish_seen_subcommand_from check' -l log-format -x -a 'json text'
complete -c tsdaemon -n '__fish_seen_subcommand_from check' -l drain-timeout -x -d 'Seconds'

complete -c tsdaemon -n '__fish_seen_subcommand_from status' -l url -x -d 'Its admin service'
complete -c tsdaemon -n '__fish_seen_subcommand_from status' -l json -d 'Print JSON'

complete -c tsdaemon -n '__fish_seen_subcommand_from numbers; and not __fish_seen_subcommand_from send' -a send -d 'Send a file'
complete -c tsdaemon -n '__fish_seen_subcommand_from send' -F
complete -c tsdaemon -n '__fish_seen_subcommand_from send' -l connections -x -d 'How many'
complete -c tsdaemon -n '__fish_seen_subcommand_from send' -l to -x -d 'HOST:PORT'
complete -c tsdaemon -n '__fish_seen_subcommand_from send' -l rate -x -d 'Lines a second'
complete -c tsdaemon -n '__fish_seen_subcommand_from send' -l timeout -x -d 'Seconds'

complete -c tsdaemon -n '__fish_seen_subcommand_from hash; and not __fish_seen_subcommand_from submit wait' -a 'submit wait'
complete -c tsdaemon -n '__fish_seen_subcommand_from submit wait' -l url -x -d 'The hash service'
complete -c tsdaemon -n '__fish_seen_subcommand_from submit' -l token-file -r -F -d 'Bearer token'
complete -c tsdaemon -n '__fish_seen_subcommand_from wait' -l timeout -x -d 'Seconds'
