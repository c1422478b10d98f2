# bash completion for ferry; written by go test ./cmd/ferry -run Completion -update
_ferry() {
    local word=${COMP_WORDS[COMP_CWORD]} words=--help
    if [ "$COMP_CWORD" -gt 1 ]; then
        case ${COMP_WORDS[1]} in
        pack) words="--help --kernel --initrd --output --cmdline --stage --room --generation --from --keep-compressed --with-compressed --rollback-kernel --rollback-initrd --rollback-cmdline --rollback-generation --on-error --serial --force --expect-sessions --manifest" ;;
        show) words="--help --stage --pubkey --json" ;;
        check) words="--help --payload --kernel --stage --cmdline --append --accept-halt --force --json" ;;
        load) words="--help --stage --cmdline --append --accept-halt --force --unload" ;;
        seal) words="--help --signature --pubkey --stage --unverified --output" ;;
        image) words="--help --stage --pubkey --min-serial --min-release --output" ;;
        inspect) words="--help --base --from --json" ;;
        extract) words="--help --base --from --handover" ;;
        diff) words="--help --base --from --handover --other-handover" ;;
        abi) words="--help --json" ;;
        version) words="--help --stage --json" ;;
        esac
        case $word in -*) ;; *) COMPREPLY=(); return ;; esac
    else
        words="--help pack show check load seal image inspect extract diff abi version"
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _ferry ferry
