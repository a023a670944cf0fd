# bash completion of reconcile, made by: reconcile completion bash
_reconcile() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= flags words= i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		plan|status|events|trigger|suspend|resume|diff|watch|record|why|ack|hook|import|validate|schema|sim|copy|hash|completion|version|help) verb=${COMP_WORDS[i]}; break ;;
		esac
	done
	case $prev in
	-o) COMPREPLY=($(compgen -W 'text json' -- "$cur")); return ;;
	--log-level) COMPREPLY=($(compgen -W 'debug info warn error' -- "$cur")); return ;;
	--log-format) COMPREPLY=($(compgen -W 'text json' -- "$cur")); return ;;
	--config) COMPREPLY=($(compgen -f -- "$cur")); return ;;
	esac
	case $verb in
	plan) flags='--config --log-level -o' words='' ;;
	status) flags='--config --log-level --look -o --watch' words='' ;;
	events) flags='--config --follow --last --log-level -o --since' words='' ;;
	trigger) flags='--config --log-level' words='' ;;
	suspend) flags='--config --for --log-level -o --reason --until' words='' ;;
	resume) flags='--config --log-level -o' words='' ;;
	diff) flags='--config --log-level -o' words='' ;;
	watch) flags='--config --every --log-level' words='' ;;
	record) flags='--config --log-level -o' words='' ;;
	why) flags='--config --log-level -o' words='' ;;
	ack) flags='--config --log-level -o' words='' ;;
	hook) flags='--config' words='install uninstall' ;;
	import) flags='--all --check --cluster --config --dir --log-level --node -o --update --vmid' words='' ;;
	validate) flags='-o' words='' ;;
	schema) flags='' words='VirtualMachine Node Migration' ;;
	sim) flags='--cert --cluster --config --dump --faults --from-live --host --listen --log-level --pmxcfs --speed --ssh-dir --world' words='' ;;
	copy) flags='--buffered --checkpoint --checkpoint-every --delta --fresh --ignore-holes -o --ours --progress --rate --restart --scan --source-id --source-size --target-id --target-size --verify --workers' words='' ;;
	hash) flags='--buffered --first --ignore-holes --leaf -o --progress --rate --size --workers' words='' ;;
	completion) flags='' words='bash zsh fish' ;;
	version) flags='-o' words='' ;;
	help) flags='' words='' ;;
	*) flags='--config --log-format --log-level -o --once --wait' words='plan status events trigger suspend resume diff watch record why ack hook import validate schema sim copy hash completion version help' ;;
	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$flags" -- "$cur"))
	else
		COMPREPLY=($(compgen -W "$words" -- "$cur"))
	fi
}
complete -o default -F _reconcile reconcile
