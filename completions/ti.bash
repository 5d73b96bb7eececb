# Completion of ti for bash; `ti completion bash` prints this file.

# Offer the lines of $1 that start with the word typed. compgen -W is not used: it would run
# command substitutions that stand in a tag.
_ti_offer() {
    local word quoted
    while IFS= read -r word; do
        if [[ -n $word && $word == "$cur"* ]]; then
            printf -v quoted '%q' "$word"
            COMPREPLY+=("$quoted")
        fi
    done <<<"$1"
}

_ti_files() {
    local word
    compopt -o filenames 2>/dev/null
    while IFS= read -r word; do
        [[ -n $word ]] && COMPREPLY+=("$word")
    done <<<"$(compgen -f -- "$cur")"
}

_ti_takes_value() {
    case $1 in
    invert:--token|invert:-t) return 0 ;;
    invert:--manifest) return 0 ;;
    invert:--recipe) return 0 ;;
    invert:--kind) return 0 ;;
    invert:--init) return 0 ;;
    invert:--init-from) return 0 ;;
    invert:--warm-start) return 0 ;;
    invert:--warm-steps) return 0 ;;
    invert:--warm-lr) return 0 ;;
    invert:--noun) return 0 ;;
    invert:--vectors) return 0 ;;
    invert:--extend-every) return 0 ;;
    invert:--photo-words) return 0 ;;
    invert:--negative-vectors) return 0 ;;
    invert:--negative-guidance) return 0 ;;
    invert:--steps) return 0 ;;
    invert:--lr) return 0 ;;
    invert:--batch) return 0 ;;
    invert:--accumulate) return 0 ;;
    invert:--size) return 0 ;;
    invert:--schedule) return 0 ;;
    invert:--warmup) return 0 ;;
    invert:--clip) return 0 ;;
    invert:--norm) return 0 ;;
    invert:--norm-pull) return 0 ;;
    invert:--prior) return 0 ;;
    invert:--pull) return 0 ;;
    invert:--context) return 0 ;;
    invert:--context-set) return 0 ;;
    invert:--timestep-low) return 0 ;;
    invert:--timestep-high) return 0 ;;
    invert:--timestep-weighting) return 0 ;;
    invert:--min-snr) return 0 ;;
    invert:--sentences) return 0 ;;
    invert:--evaluate-every) return 0 ;;
    invert:--evaluation-timesteps) return 0 ;;
    invert:--hold-out) return 0 ;;
    invert:--stop) return 0 ;;
    invert:--stop-window) return 0 ;;
    invert:--stop-ratio) return 0 ;;
    invert:--cooldown) return 0 ;;
    invert:--average) return 0 ;;
    invert:--keep) return 0 ;;
    invert:--drift-limit) return 0 ;;
    invert:--restores) return 0 ;;
    invert:--restarts) return 0 ;;
    invert:--init-candidates) return 0 ;;
    invert:--mask-background) return 0 ;;
    invert:--mask-temperature) return 0 ;;
    invert:--model|invert:-m) return 0 ;;
    invert:--device) return 0 ;;
    invert:--seed) return 0 ;;
    invert:--preview-every) return 0 ;;
    invert:--preview) return 0 ;;
    invert:--components) return 0 ;;
    invert:--prediction) return 0 ;;
    invert:--dtype) return 0 ;;
    invert:--together) return 0 ;;
    invert:--progress) return 0 ;;
    generate:--count|generate:-n) return 0 ;;
    generate:--output|generate:-o) return 0 ;;
    generate:--steps) return 0 ;;
    generate:--guidance) return 0 ;;
    generate:--size) return 0 ;;
    generate:--negative) return 0 ;;
    generate:--sampler) return 0 ;;
    generate:--seed) return 0 ;;
    generate:--model|generate:-m) return 0 ;;
    generate:--components) return 0 ;;
    generate:--prediction) return 0 ;;
    generate:--device) return 0 ;;
    generate:--dtype) return 0 ;;
    score:--photos) return 0 ;;
    score:--encoder) return 0 ;;
    score:--class-word) return 0 ;;
    score:--prompts) return 0 ;;
    score:--samples) return 0 ;;
    score:--scene-samples) return 0 ;;
    score:--plot) return 0 ;;
    score:--sheet) return 0 ;;
    score:--steps) return 0 ;;
    score:--guidance) return 0 ;;
    score:--size) return 0 ;;
    score:--sampler) return 0 ;;
    score:--model|score:-m) return 0 ;;
    score:--components) return 0 ;;
    score:--prediction) return 0 ;;
    score:--device) return 0 ;;
    score:--dtype) return 0 ;;
    list:--tag|ls:--tag) return 0 ;;
    list:--base|ls:--base) return 0 ;;
    list:--kind|ls:--kind) return 0 ;;
    list:--since|ls:--since) return 0 ;;
    list:--sort|ls:--sort) return 0 ;;
    list:--limit|ls:--limit) return 0 ;;
    show:--field) return 0 ;;
    tag:--add) return 0 ;;
    tag:--remove) return 0 ;;
    tag:--note) return 0 ;;
    search:--tag) return 0 ;;
    search:--base) return 0 ;;
    search:--kind) return 0 ;;
    search:--since) return 0 ;;
    search:--limit) return 0 ;;
    merge:--token|merge:-t) return 0 ;;
    merge:--method) return 0 ;;
    export:--for) return 0 ;;
    export:--format) return 0 ;;
    export:--output|export:-o) return 0 ;;
    export:--author) return 0 ;;
    export:--license) return 0 ;;
    export:--thumbnail) return 0 ;;
    import:--token|import:-t) return 0 ;;
    import:--base) return 0 ;;
    models:--components) return 0 ;;
    models:--prediction) return 0 ;;
    *) return 1 ;;
    esac
}

_ti_value() {
    case $1 in
    invert:--manifest) _ti_files ;;
    invert:--recipe) _ti_offer $'quick\ndefault\nthorough\npaper\ndirectional\ncross\nfairer'; _ti_files ;;
    invert:--kind) _ti_offer $'object\nstyle\nperson' ;;
    invert:--init-from) _ti_offer $'table\noutput' ;;
    invert:--schedule) _ti_offer $'constant\ncosine\nlinear\ntrapezoid' ;;
    invert:--norm) _ti_offer $'vocabulary\nfree\nsphere\npull' ;;
    invert:--context-set) _ti_offer $'auto\nliving\nthings\nstyles' ;;
    invert:--timestep-weighting) _ti_offer $'uniform\ncubic\nlogit-normal' ;;
    invert:--sentences) _ti_files ;;
    invert:--hold-out) _ti_offer $'auto\nnever' ;;
    invert:--stop) _ti_offer $'auto\nnever' ;;
    invert:--keep) _ti_offer $'last\nbest' ;;
    invert:--model|invert:-m) _ti_offer "$(command ti __complete models "$cur" 2>/dev/null)" ;;
    invert:--prediction) _ti_offer $'epsilon\nv' ;;
    invert:--dtype) _ti_offer $'auto\nfp32\nfp16\nbf16' ;;
    invert:--progress) _ti_offer $'auto\nplain\njsonl\nnone' ;;
    generate:--output|generate:-o) _ti_files ;;
    generate:--model|generate:-m) _ti_offer "$(command ti __complete models "$cur" 2>/dev/null)" ;;
    generate:--prediction) _ti_offer $'epsilon\nv' ;;
    generate:--dtype) _ti_offer $'auto\nfp32\nfp16\nbf16' ;;
    score:--photos) _ti_files ;;
    score:--prompts) _ti_files ;;
    score:--plot) _ti_files ;;
    score:--sheet) _ti_files ;;
    score:--model|score:-m) _ti_offer "$(command ti __complete models "$cur" 2>/dev/null)" ;;
    score:--prediction) _ti_offer $'epsilon\nv' ;;
    score:--dtype) _ti_offer $'auto\nfp32\nfp16\nbf16' ;;
    list:--tag|ls:--tag) _ti_offer "$(command ti __complete tags "$cur" 2>/dev/null)" ;;
    list:--kind|ls:--kind) _ti_offer $'object\nstyle\nperson' ;;
    tag:--add) _ti_offer "$(command ti __complete tags "$cur" 2>/dev/null)" ;;
    tag:--remove) _ti_offer "$(command ti __complete tags "$cur" 2>/dev/null)" ;;
    search:--tag) _ti_offer "$(command ti __complete tags "$cur" 2>/dev/null)" ;;
    search:--kind) _ti_offer $'object\nstyle\nperson' ;;
    merge:--method) _ti_offer $'mean\nslerp\nconcat' ;;
    export:--for) _ti_offer $'diffusers\na1111\nforge\ncomfyui\ninvokeai\nsdnext\neasydiffusion\nkohya\nsdcpp\nonetrainer\nconcept-repo\npng\nti' ;;
    export:--format) _ti_offer $'ti\ndiffusers\ndiffusers-pair\ndiffusers-bin\nemb_params\nemp_params\nsdxl\nt5xxl\nencoder-keys\na1111-pt\noriginal-pt\npng\nconcept-repo\nbundle' ;;
    import:--base) _ti_offer "$(command ti __complete models "$cur" 2>/dev/null)" ;;
    models:--prediction) _ti_offer $'epsilon\nv' ;;
    esac
}

_ti_flags() {
    case $1 in
    '') _ti_offer $'-h\n--help\n-V\n--version' ;;
    invert) _ti_offer $'--token\n-t\n--manifest\n--recipe\n--kind\n--init\n--init-from\n--warm-start\n--warm-steps\n--warm-lr\n--noun\n--vectors\n--extend-every\n--photo-words\n--negative-vectors\n--negative-guidance\n--steps\n--lr\n--batch\n--accumulate\n--size\n--flip\n--no-flip\n--schedule\n--warmup\n--clip\n--norm\n--norm-pull\n--prior\n--pull\n--context\n--context-set\n--timestep-low\n--timestep-high\n--timestep-weighting\n--min-snr\n--sentences\n--evaluate-every\n--evaluation-timesteps\n--hold-out\n--stop\n--stop-window\n--stop-ratio\n--cooldown\n--average\n--keep\n--drift-limit\n--restores\n--restarts\n--init-candidates\n--masks\n--mask-background\n--mask-temperature\n--captions\n--strict-captions\n--model\n-m\n--device\n--fresh\n--replace\n--dry-run\n-n\n--no-noun\n--seed\n--preview-every\n--preview\n--keep-photos\n--components\n--prediction\n--dtype\n--together\n--deterministic\n--low-memory\n--offline\n--progress\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    generate) _ti_offer $'--count\n-n\n--output\n-o\n--steps\n--guidance\n--size\n--negative\n--sampler\n--seed\n--grid\n--no-noun\n--strict-base\n--any-norm\n--force\n--dry-run\n--model\n-m\n--components\n--prediction\n--device\n--dtype\n--offline\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    score) _ti_offer $'--photos\n--encoder\n--class-word\n--prompts\n--samples\n--scene-samples\n--plot\n--sheet\n--no-save\n--steps\n--guidance\n--size\n--sampler\n--no-noun\n--strict-base\n--force\n--dry-run\n-n\n--model\n-m\n--components\n--prediction\n--device\n--dtype\n--offline\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    list|ls) _ti_offer $'--tag\n--base\n--kind\n--since\n--sort\n--limit\n--unfinished\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    show) _ti_offer $'--field\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    rm) _ti_offer $'--unfinished\n--yes\n-y\n--dry-run\n-n\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    rename) _ti_offer $'--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    tag) _ti_offer $'--add\n--remove\n--note\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    search) _ti_offer $'--tag\n--base\n--kind\n--since\n--limit\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    merge) _ti_offer $'--token\n-t\n--method\n--raw\n--replace\n--dry-run\n-n\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    export) _ti_offer $'--all\n--for\n--format\n--output\n-o\n--author\n--license\n--notes\n--thumbnail\n--force\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    import) _ti_offer $'--token\n-t\n--all\n--base\n--force\n--replace\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    inspect) _ti_offer $'--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    doctor) _ti_offer $'--rebuild\n--fast\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    prune) _ti_offer $'--all\n--yes\n-y\n--dry-run\n-n\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    backup) _ti_offer $'--force\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    restore) _ti_offer $'--merge\n--yes\n-y\n--dry-run\n-n\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    models) _ti_offer $'--replace\n--components\n--prediction\n--offline\n--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    config) _ti_offer $'--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    completion) _ti_offer $'--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    help) _ti_offer $'--json\n--quiet\n-q\n--verbose\n-v\n--no-color\n--debug\n-h\n--help' ;;
    esac
}

_ti_place() {
    case $1 in
    '') _ti_offer $'invert\ngenerate\nscore\nlist\nls\nshow\nrm\nrename\ntag\nsearch\nmerge\nexport\nimport\ninspect\ndoctor\nprune\nbackup\nrestore\nmodels\nconfig\ncompletion\nhelp' ;;
    invert) _ti_files ;;
    generate) case $2 in 0) : ;; esac ;;
    score) _ti_offer "$(command ti __complete concepts "$cur" 2>/dev/null)" ;;
    list|ls) case $2 in 0) : ;; esac ;;
    show) case $2 in 0) _ti_offer "$(command ti __complete concepts "$cur" 2>/dev/null)" ;; esac ;;
    rm) _ti_offer "$(command ti __complete concepts "$cur" 2>/dev/null)" ;;
    rename) case $2 in 0) _ti_offer "$(command ti __complete concepts "$cur" 2>/dev/null)" ;; 1) : ;; esac ;;
    tag) case $2 in 0) _ti_offer "$(command ti __complete concepts "$cur" 2>/dev/null)" ;; esac ;;
    search) : ;;
    merge) _ti_offer "$(command ti __complete concepts "$cur" 2>/dev/null)" ;;
    export) _ti_offer "$(command ti __complete concepts "$cur" 2>/dev/null)" ;;
    import) _ti_files ;;
    inspect) _ti_files ;;
    backup) case $2 in 0) _ti_files ;; esac ;;
    restore) case $2 in 0) _ti_files ;; esac ;;
    models) case $2 in 0) _ti_offer $'list\nshow\nadd\nremove\nfetch' ;; 1) : ;; 2) _ti_offer "$(command ti __complete models "$cur" 2>/dev/null)" ;; esac ;;
    config) case $2 in 0) _ti_offer $'list\nget\nset\nunset\npath' ;; 1) _ti_offer $'model\ndevice\ndtype\nrecipe\noutput_dir\noffline\ncolor' ;; 2) : ;; esac ;;
    completion) case $2 in 0) _ti_offer $'bash\nzsh\nfish' ;; esac ;;
    help) case $2 in 0) _ti_offer $'invert\ngenerate\nscore\nlist\nshow\nrm\nrename\ntag\nsearch\nmerge\nexport\nimport\ninspect\ndoctor\nprune\nbackup\nrestore\nmodels\nconfig\ncompletion\nhelp' ;; esac ;;
    esac
}

_ti() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local command= place=0 i
    COMPREPLY=()
    # --flag=value arrives as three words.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        if _ti_takes_value "$command:${COMP_WORDS[i]}"; then
            [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
            ((i++))
        elif [[ ${COMP_WORDS[i]} == -?* ]]; then
            continue
        elif [[ -z $command ]]; then
            command=${COMP_WORDS[i]}
        else
            ((place++))
        fi
    done
    if [[ -n $command ]] && _ti_takes_value "$command:$prev"; then
        _ti_value "$command:$prev"
    elif [[ $cur == -* ]]; then
        _ti_flags "$command"
    else
        _ti_place "$command" "$place"
    fi
}

complete -F _ti ti
