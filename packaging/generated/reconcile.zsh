#compdef reconcile
# zsh completion of reconcile, made by: reconcile completion zsh

_reconcile() {
	local -a verbs
	verbs=(
		'plan:show what would be done, as the commands an operator would type'
		'status:show every object and how it stands'
		'events:show what was done and what happened; --follow goes on'
		'trigger:tell the daemon to look at the source now, or at some objects'
		'suspend:make no steps of some objects, or of any, for a while'
		'resume:end a suspension'
		'diff:show every value of a guest or node: declared, last applied, live'
		'watch:show how far migrations are, until they are finished or wait for a person'
		'record:print the work record of a migration as Markdown'
		'why:show where a value comes from, and what happens to it next'
		'ack:accept a rewritten history or a tree that shrank; without a commit, show what waits'
		'hook:have a repository'\''s post-receive hook call `reconcile trigger`'
		'import:read live nodes and guests into manifests'
		'validate:check manifests offline; no config file needed'
		'schema:print the JSON Schema of a kind'
		'sim:serve a simulated PVE host; --from-live writes the world file of a real one'
		'copy:copy a block device: sparse, verified, resumable'
		'hash:hash a block device as copy does'
		'completion:print the completions of a shell'
		'version:print the version'
		'help:print this, or the flags of a verb; --man prints the manual page'
	)
	if ((CURRENT == 2)) && [[ $words[2] != -* ]]; then
		_describe verb verbs
		return
	fi
	case $words[2] in
	plan) _arguments \
		'--config[config file]:file:_files' \
		'--log-level[log to standard error\: debug, info, warn, error]:string:(debug info warn error)' \
		'-o[output format\: text (default) or json]:format:(text json)' \
		'*: :_files' ;;
	status) _arguments \
		'--config[config file]:file:_files' \
		'--log-level[log to standard error\: debug, info, warn, error]:string:(debug info warn error)' \
		'--look[look at the hosts now, even when a daemon runs]' \
		'-o[output format\: text (default) or json]:format:(text json)' \
		'--watch[show it again whenever it changes, until interrupted]' \
		'*: :_files' ;;
	events) _arguments \
		'--config[config file]:file:_files' \
		'--follow[go on with what happens from now on, until interrupted]' \
		'--last[number of past events to begin with; 0 none, -1 all]:number: ' \
		'--log-level[log to standard error\: debug, info, warn, error]:string:(debug info warn error)' \
		'-o[output format\: text (default) or json]:format:(text json)' \
		'--since[only what is not older\: 24h]:duration: ' \
		'*: :_files' ;;
	trigger) _arguments \
		'--config[config file]:file:_files' \
		'--log-level[log to standard error\: debug, info, warn, error]:string:(debug info warn error)' \
		'*: :_files' ;;
	suspend) _arguments \
		'--config[config file]:file:_files' \
		'--for[for a duration\: 2h, 90m; without it until resumed]:duration: ' \
		'--log-level[log to standard error\: debug, info, warn, error]:string:(debug info warn error)' \
		'-o[output format\: text (default) or json]:format:(text json)' \
		'--reason[why, for whoever wonders; needed]:string: ' \
		'--until[until a time\: 2026-01-31T18\:00, in the zone of this machine or with one]:time: ' \
		'*: :_files' ;;
	resume) _arguments \
		'--config[config file]:file:_files' \
		'--log-level[log to standard error\: debug, info, warn, error]:string:(debug info warn error)' \
		'-o[output format\: text (default) or json]:format:(text json)' \
		'*: :_files' ;;
	diff) _arguments \
		'--config[config file]:file:_files' \
		'--log-level[log to standard error\: debug, info, warn, error]:string:(debug info warn error)' \
		'-o[output format\: text (default) or json]:format:(text json)' \
		'*: :_files' ;;
	watch) _arguments \
		'--config[config file]:file:_files' \
		'--every[how often to look, a duration]:duration: ' \
		'--log-level[log to standard error\: debug, info, warn, error]:string:(debug info warn error)' \
		'*: :_files' ;;
	record) _arguments \
		'--config[config file]:file:_files' \
		'--log-level[log to standard error\: debug, info, warn, error]:string:(debug info warn error)' \
		'-o[output format\: text (default) or json]:format:(text json)' \
		'*: :_files' ;;
	why) _arguments \
		'--config[config file]:file:_files' \
		'--log-level[log to standard error\: debug, info, warn, error]:string:(debug info warn error)' \
		'-o[output format\: text (default) or json]:format:(text json)' \
		'*: :_files' ;;
	ack) _arguments \
		'--config[config file]:file:_files' \
		'--log-level[log to standard error\: debug, info, warn, error]:string:(debug info warn error)' \
		'-o[output format\: text (default) or json]:format:(text json)' \
		'*: :_files' ;;
	hook) _arguments \
		'--config[config file that the hook names]:file:_files' \
		'*: :(install uninstall)' ;;
	import) _arguments \
		'--all[all nodes of the clusters and their guests]' \
		'--check[write nothing, say what would be written]' \
		'--cluster[only this cluster, when the config file has several]:cluster: ' \
		'--config[config file]:file:_files' \
		'--dir[directory of the manifests]:directory:_files -/' \
		'--log-level[log to standard error\: debug, info, warn, error]:string:(debug info warn error)' \
		'--node[a node and its guests]:node: ' \
		'-o[output format\: text (default) or json]:format:(text json)' \
		'--update[take over what differs into manifests that are there]' \
		'--vmid[guests by vmid\: 200,230]:vmid: ' \
		'*: :_files' ;;
	validate) _arguments \
		'-o[output format\: text (default) or json]:format:(text json)' \
		'*: :_files' ;;
	schema) _arguments \
		'*: :(VirtualMachine Node Migration)' ;;
	sim) _arguments \
		'--cert[write the server'\''s certificate to this file, for caFile]:file:_files' \
		'--cluster[with --from-live\: name of the cluster, when the config file has several]:name: ' \
		'--config[with --from-live\: config file]:file:_files' \
		'--dump[print the world\: at once without --listen, at the end with it]' \
		'--faults[file of what goes wrong]:file:_files' \
		'--from-live[print a world file of a real host (read-only), which --config names]' \
		'--host[a real host that stands for a node, as NODE=ssh\://USER@ADDRESS?key=FILE&known_hosts=FILE or NODE=local, once for each\: its pools are the node'\''s, guests are commands there]:host: ' \
		'--listen[loopback address to serve HTTPS on\: 127.0.0.1\:8006]:address: ' \
		'--log-level[with --from-live\: debug shows the requests]:string:(debug info warn error)' \
		'--pmxcfs[keep this directory as the cluster'\''s file system looks (/etc/pve)]:directory:_files -/' \
		'--speed[how fast time goes, a factor\: 1 takes the time PVE takes, 0 none]:factor: ' \
		'--ssh-dir[serve the machines of the world over SSH, and write id_ed25519, known_hosts and hosts.yaml (for the config file) into this directory]:directory:_files -/' \
		'--world[world file\: the host to simulate]:file:_files' \
		'*: :_files' ;;
	copy) _arguments \
		'--buffered[copy through the page cache instead of direct I/O]' \
		'--checkpoint[keep the progress in this file, or with zfs\:DATASET in a user property, and continue from it when it exists]:file:_files' \
		'--checkpoint-every[bytes between checkpoints (default 256MiB); at least every 10 s in any case]:bytes: ' \
		'--delta[read DST too, and write only what differs]' \
		'--fresh[DST is known to read as zeros (a new zvol)\: write no zeros]' \
		'--ignore-holes[read holes too\: do not trust the file system'\''s map of them]' \
		'-o[format of the result on standard output\: text or json]:format:(text json)' \
		'--ours[DST may hold a file system, partition table or the like\: overwrite it]' \
		'--progress[style of the progress on standard error\: bar, lines, json, none, or auto (bar on a terminal, else a line every 30 s)]:style: ' \
		'--rate[read at most this many bytes a second, such as 200MiB/s]:bytes: ' \
		'--restart[with --delta\: start over when the checkpoint cannot be continued, instead of refusing]' \
		'--scan[read all of SRC first, and refuse before the first write if a part cannot be read]' \
		'--source-id[identity of SRC in the checkpoint, such as a dataset guid (default\: what the machine knows)]:identity: ' \
		'--source-size[refuse unless SRC has exactly this many bytes]:bytes: ' \
		'--target-id[identity of DST in the checkpoint]:identity: ' \
		'--target-size[refuse unless DST has exactly this many bytes]:bytes: ' \
		'--verify[how to prove the copy\: full reads DST back past the page cache and compares, inline only hashes SRC as it is read, none]:how: ' \
		'--workers[number of parallel readers and writers (default 4)]:number: ' \
		'*: :_files' ;;
	hash) _arguments \
		'--buffered[read through the page cache instead of direct I/O]' \
		'--first[hash only so many bytes from the start on\: what a copy of a smaller device wrote]:bytes: ' \
		'--ignore-holes[read holes too\: do not trust the file system'\''s map of them]' \
		'--leaf[bytes hashed at a time, a multiple of 1MiB; hashes of different leaves differ (default\: what copy takes)]:bytes: ' \
		'-o[format of the result on standard output\: text or json]:format:(text json)' \
		'--progress[style of the progress on standard error\: bar, lines, json, none, or auto (bar on a terminal, else a line every 30 s)]:style: ' \
		'--rate[read at most this many bytes a second, such as 200MiB/s]:bytes: ' \
		'--size[refuse unless DEVICE has exactly this many bytes]:bytes: ' \
		'--workers[number of parallel readers (default 4)]:number: ' \
		'*: :_files' ;;
	completion) _arguments \
		'*: :(bash zsh fish)' ;;
	version) _arguments \
		'-o[output format\: text (default) or json]:format:(text json)' \
		'*: :_files' ;;
	help) _arguments \
		'*: :_files' ;;
	*) _arguments \
		'--config[config file]:file:_files' \
		'--log-format[text or json; left out, the daemon writes text to a terminal and json elsewhere]:string:(text json)' \
		'--log-level[log to standard error\: debug, info, warn, error]:string:(debug info warn error)' \
		'-o[output format\: text (default) or json]:format:(text json)' \
		'--once[make one pass and exit]' \
		'--wait[with --once\: make the long steps of migrations too, and show how far they are; else they go on in the background]' \
		'*: :_files' ;;
	esac
}

_reconcile "$@"
