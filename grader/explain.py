"""The catalogue behind `grader explain`: every error code and every verdict, its cause and its remedy.

    E1...  the settings of a server
    E2...  the command line, a file, a setting, or a malformed exercise
    E3...  the grader itself: its store, its own failure
    E4...  the sandbox
    E5...  not found; E521... a server that does not answer as it should
    E6...  what a server refuses

A test proves that every code raised anywhere in `grader/` stands here, and that none stands here for nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One code or verdict: what it says in a line, where it comes from, and what to do."""

    what: str
    cause: str
    hint: str


CATALOGUE = {
    "E1201": Entry(
        "a setting of the server is missing or wrong",
        "It is read from the environment as the server starts, secrets also from the file that GRADER_..._FILE names.",
        "Set the variable that the message names; `grader serve --embedded` needs none.",
    ),
    "E1202": Entry(
        "a secret is none",
        "Outside of --embedded an address needs a password that nobody guesses; a default one is refused.",
        "Generate a password; put the address into a file that GRADER_..._URL_FILE names.",
    ),
    "E1203": Entry(
        "a name or role of an account is not understood",
        "Names are letters and digits with . _ @ - within; roles are learner, instructor, hiring and operator.",
        "For example: grader user add ada --role instructor.",
    ),
    "E1204": Entry(
        "a token cannot have that scope",
        "It can do no more than the role of its account allows.",
        "Ask for less, or change the role: grader user role NAME ROLE.",
    ),
    "E1205": Entry(
        "the password is too short",
        "Passwords have 12 characters at least.",
        "Leave --password-stdin out, and one is made and printed.",
    ),
    "E1206": Entry(
        "this installation has no server",
        "The command line installs without it; serving needs FastAPI, SQLAlchemy and more.",
        'pip install "grader[server]"; with [server,judge] for --embedded.',
    ),
    "E2101": Entry(
        "the command line is not understood",
        "An option or argument is missing, unknown, or one too many.",
        "Add --help to the command to see what it takes.",
    ),
    "E2102": Entry(
        "there is no such file",
        "The file named, or the one the exercise is called after (softmax.py), is not in this folder.",
        "Look at the spelling and the folder; `grader start EX` writes a file to begin with.",
    ),
    "E2103": Entry(
        "the file is a folder",
        "A submission is one file; a folder cannot be sent.",
        "Name the file inside it: grader submit softmax work/softmax.py.",
    ),
    "E2104": Entry(
        "the file cannot be read",
        "Its permissions forbid it, or its name is none the system knows. What is *in* a file is never a "
        "reason: that is submitted and gets a verdict.",
        "Mend the permissions (chmod u+r FILE), then submit again.",
    ),
    "E2105": Entry(
        "the file is larger than 16 MiB",
        "A submission is one source file. Nothing was stored and no attempt was used.",
        "Clear a notebook's outputs, or take data out of the file.",
    ),
    "E2106": Entry(
        "a starter would overwrite a file",
        "`grader start` found a file of that name, which may hold your work.",
        "Write elsewhere with --output OTHER.py, or lose the file's content with --force.",
    ),
    "E2107": Entry(
        "the notebook cannot be read",
        "The file ends in .ipynb and is not a notebook: no JSON, no cells, or a format nobody knows.",
        "Open and save it again in Jupyter, or submit a .py file.",
    ),
    "E2108": Entry(
        "the starter cannot be written",
        "The folder does not exist, is not yours to write, or the disk is full.",
        "Choose another place with --output.",
    ),
    "E2109": Entry(
        "this installation cannot judge",
        "The command line installs without NumPy, PyTorch, pytest and SQLAlchemy; judging needs them.",
        'pip install "grader[judge]" for NumPy exercises, "grader[judge,torch]" for all.',
    ),
    "E2110": Entry(
        "a settings file cannot be read",
        "`.grader.toml` (in this folder or above it) or your config.toml is no TOML, or has a setting that "
        "does not exist. The settings are `home`, `learner`, `engine`, `isolated` and `server`, each a text in quotes.",
        "Mend the file at the place named, or remove it.",
    ),
    "E2111": Entry(
        "home is not a folder",
        "GRADER_HOME, or `home` in a settings file, names something that is there and no folder.",
        "Set it to a folder; it is made if it is missing.",
    ),
    "E2112": Entry(
        "learner is not a name",
        "GRADER_LEARNER, or `learner` in a settings file, is too long or holds unprintable characters.",
        "Set it to a short name.",
    ),
    "E2113": Entry(
        "there is no such engine",
        "An engine starts the sandboxes: docker, bubblewrap or local; auto takes the first that works.",
        "Name one of these with --engine or GRADER_ENGINE; `grader doctor` tells which work here.",
    ),
    "E2114": Entry(
        "an engine that does not isolate is refused",
        "GRADER_ISOLATED is yes, as on a server: submissions must not run with the grader's own rights.",
        "Mend docker or bubblewrap as `grader doctor` says.",
    ),
    "E2115": Entry(
        "there is nothing to overrule",
        "`grader overrule` waives the policy of a submission whose verdict is policy_violation; this one's is "
        "another, or it is being judged.",
        "`grader rejudge ID` judges a submission again as it is.",
    ),
    "E2116": Entry(
        "isolated is yes or no",
        "GRADER_ISOLATED, or `isolated` in a settings file, says something else.",
        "Set it to yes to refuse engines that do not isolate.",
    ),
    "E2117": Entry(
        "an idempotency key was used for another request",
        "A key names one request, so that sending it again stores nothing; this one came before with another body.",
        "Send each submission with a key of its own; repeat one only to send the very same again.",
    ),
    "E2118": Entry(
        "the name is taken",
        "Organisations, accounts of an organisation, the names on its leaderboards and OIDC subjects are unique.",
        "Choose another name.",
    ),
    "E2119": Entry(
        "another regrade is under way",
        "Of an exercise one regrade is judged at a time, and it treats lower scores as it did when it began.",
        "Let it end, with the command that the hint names; then begin the other.",
    ),
    "E2120": Entry(
        "an exercise cannot be called that",
        "Names are small letters and digits in words joined by single hyphens; titles hold no quotes.",
        "For example: grader new batch-norm --title 'Batch normalisation'.",
    ),
    "E2121": Entry(
        "the exercise is there already",
        "`grader new` never writes over an exercise or its reference, and writes all files or none.",
        "Choose another name, or remove what is there.",
    ),
    "E2122": Entry(
        "the address of a server is not understood",
        "It stands after --server or `grader auth login`, in GRADER_SERVER, or as `server` in a settings file.",
        "Write https://HOST, with :PORT and a path where it has them; `none` judges on this machine.",
    ),
    "E2123": Entry(
        "GRADER_TOKEN is not used",
        "It is no token, or the server is named by a file of this folder, whose author might collect tokens.",
        "Where you trust the server: GRADER_SERVER=URL, or `grader auth login URL`.",
    ),
    "E2124": Entry(
        "the file of your logins cannot be used",
        "credentials.json in your configuration folder is damaged, cannot be written, or can be read by others.",
        "chmod 600 it; or remove it and log in again with `grader auth login`.",
    ),
    "E2125": Entry(
        "no server is configured",
        "The command asks a server for something, and this machine judges by itself.",
        "grader auth login https://HOST, or set GRADER_SERVER.",
    ),
    "E2126": Entry(
        "the submission can no longer be cancelled",
        "Only what still waits for its first judging can be: once code has run, it is an attempt.",
        "`grader watch ID` waits for its verdict; another file can be submitted at any time.",
    ),
    "E2127": Entry(
        "isolation is container or fork",
        "GRADER_ISOLATION, or `isolation` in a settings file, says something else.",
        "Set it to fork to allow sandboxes forked from a process that has the libraries loaded, or leave it out.",
    ),
    "E2128": Entry(
        "standbys is a whole number from 0 to 64",
        "GRADER_STANDBYS, or `standbys` in a settings file, says something else.",
        "Set it to how many sandboxes each judging process may keep started ahead, or leave it out.",
    ),
    "E2140": Entry(
        "the exercise is not judged on that device",
        "Its `devices` in exercise.toml say where: on cpu, on cuda, or on either.",
        "Leave --device out, or name one of those that `grader show EX --json` lists.",
    ),
    "E2201": Entry(
        "a folder's name cannot be an exercise's name",
        "Folder, module and exercise have one name: small letters and digits, words joined by hyphens.",
        "Rename the folder, for example batch-norm.",
    ),
    "E2202": Entry(
        "an exercise is malformed",
        "A file is missing or contradicts another; the message names file and line.",
        "Mend it there; `grader verify EX` then tells whether the exercise holds.",
    ),
    "E2301": Entry(
        "a course or an assignment cannot have that name",
        "Names have 1 to 60 small letters and digits, and . _ - within; a `/` stands between course and assignment.",
        "For example: grader course new dl-101; grader assignment new dl-101/hw1 softmax:10.",
    ),
    "E2302": Entry(
        "a roster has problems, and nothing of it was stored",
        "Each is told with its line: a name or login twice, missing, damaged, or one that a spreadsheet would run.",
        "Mend the lines, or add --skip-bad to import the others.",
    ),
    "E2304": Entry(
        "a time or a time zone is not understood",
        "Times are dates with hours, in the course's zone or with an offset; some do not exist there, or twice.",
        'Write "2026-10-05 18:00", or 2026-10-05T18:00+02:00; zones have names such as Europe/Berlin.',
    ),
    "E2305": Entry(
        "a late policy is not understood",
        "It is `none`, `closed`, or percent for each day or hour begun, with a floor if you like.",
        "For example --late 10%/day, or --late '10%/day floor 50%'.",
    ),
    "E2306": Entry(
        "the platform's file cannot be filled in",
        "It is no gradebook of Canvas or worksheet of Moodle, or has other points than the assignment.",
        "Export it anew from the platform, as CSV; or write one of ours, without --into.",
    ),
    "E2307": Entry(
        "an assignment, an extension or a score does not hold together",
        "Times are out of order, a number is out of bounds, a reason is missing, or work was sent for what would go.",
        "The message says which; grader assignment show COURSE/NAME tells what is in force.",
    ),
    "E2308": Entry(
        "the appeal is there, or answered, already",
        "A submission has one appeal at a time, and an appeal one answer.",
        "grader course appeals COURSE lists them.",
    ),
    "E3001": Entry(
        "the grader failed",
        "A mistake in the grader, or a machine out of disk or memory. No attempt was used.",
        "Run the command again with -v and report the traceback.",
    ),
    "E3002": Entry(
        "a report was not stored",
        "Judging took so long that another process has taken it over; that one's report counts.",
        "grader results ID shows it.",
    ),
    "E3101": Entry(
        "the store cannot be opened or written",
        "The folder GRADER_HOME, or the file in it, is missing rights, or is on a read-only disk.",
        "Make it writable, or set GRADER_HOME to a folder that is.",
    ),
    "E3102": Entry(
        "the store is not a grader database, or is damaged",
        "The file is another program's, or was cut short. It was not changed.",
        "Restore a copy, or move the file away: the grader then starts a new one.",
    ),
    "E3103": Entry(
        "the store was written by a newer grader",
        "An older grader would damage it, so it is refused and left as it is.",
        "Upgrade the grader, or set GRADER_HOME to another folder.",
    ),
    "E3104": Entry(
        "the store is busy",
        "Another process kept the database locked for longer than a writer should.",
        "Close programs that have the file open, then try again.",
    ),
    "E3105": Entry(
        "the store failed",
        "The disk is full or failing, or the file system does not keep locks.",
        "Check the disk, then try again; what was stored before is safe.",
    ),
    "E3106": Entry(
        "the server's database cannot be reached",
        "PostgreSQL does not run, is starting or stopping, or the address leads elsewhere. Nothing is lost: what was "
        "not confirmed was not stored, or is found when it is sent again under its key.",
        "Check that PostgreSQL runs and that host and port in the address are right, then try again.",
    ),
    "E3107": Entry(
        "the server's database refuses the login",
        "The user, the password or the database of the address is wrong, or pg_hba.conf does not let it in.",
        "Mend the address; create the database where it is missing: createdb -O USER DATABASE.",
    ),
    "E3108": Entry(
        "the server's PostgreSQL is too old",
        "The grader is tested on PostgreSQL 15 and newer.",
        "Upgrade the server, or name another in the address.",
    ),
    "E3109": Entry(
        "the address of the database is not understood",
        "It is neither postgresql://USER:PASSWORD@HOST:PORT/DATABASE nor sqlite:///PATH.",
        "Mend it; in a password write %40 for @, %2F for / and %23 for #.",
    ),
    "E4101": Entry(
        "the sandbox could not be started",
        "The machine refused a process, memory or a file descriptor. No attempt was used.",
        "Close other programs, then submit again.",
    ),
    "E4102": Entry(
        "processes of a submission could not be ended",
        "They did not die when killed, which a machine in trouble can cause.",
        "Look at the machine's processes, then restart the grader.",
    ),
    "E4103": Entry(
        "the judging was called off",
        "The process that asked for it ended first, by Ctrl-C, a kill or an error of its own.",
        "Submit again: what was stored is finished first.",
    ),
    "E4104": Entry(
        "Docker cannot be reached",
        "Its daemon does not run, is elsewhere than DOCKER_HOST says, or the Python package is missing. Nothing was "
        "judged, no attempt was used.",
        "Start the daemon (sudo systemctl start docker), or choose another engine: --engine bubblewrap.",
    ),
    "E4105": Entry(
        "Docker does not let you in",
        "Its socket belongs to root and the group docker.",
        "sudo usermod -aG docker $USER, log in again; or --engine bubblewrap, which needs no rights.",
    ),
    "E4106": Entry(
        "the sandbox image is missing",
        "The engine docker runs submissions in an image that holds Python and the libraries, and nothing else.",
        "grader sandbox build",
    ),
    "E4107": Entry(
        "the sandbox image is of another version",
        "It was built by another release of the grader, whose harness or libraries were others.",
        "grader sandbox build; older images may then be removed with docker image rm.",
    ),
    "E4108": Entry(
        "the disk is full",
        "There is no space for a container, an image or what an image is built from.",
        "docker system prune, or a larger disk for Docker's data-root.",
    ),
    "E4109": Entry(
        "Docker refused the sandbox",
        "The daemon answered with an error: an unknown runtime, no such device, a refused seccomp profile. A sandbox "
        "with less isolation is never used instead.",
        "Mend what the message names; `grader doctor` shows what the daemon offers.",
    ),
    "E4110": Entry(
        "bubblewrap is missing or too old",
        "The engine bubblewrap starts the program bwrap, version 0.8 or newer, found on the path.",
        "apt install bubblewrap, or your system's like; or use the engine docker.",
    ),
    "E4111": Entry(
        "user namespaces are forbidden",
        "The engine bubblewrap needs them: a setting of the kernel, or the container this runs in, refuses them.",
        "Run the sysctl that the message names, or use the engine docker; `grader doctor` tells more.",
    ),
    "E4112": Entry(
        "no control group can be made",
        "They limit memory, processes and processor time; here they are required and cannot be written.",
        "Run as root, or where systemd delegates them: systemd-run --user --scope -p Delegate=yes grader ...",
    ),
    "E4113": Entry(
        "the kernel refuses the seccomp filter",
        "It was built without CONFIG_SECCOMP_FILTER, or something around the grader forbids new filters.",
        "Use another kernel or another engine; without the filter nothing is judged.",
    ),
    "E4115": Entry(
        "the sandbox images could not be built",
        "A build needs the wheels of its lock file, to the byte, and a base with glibc and Python 3.11: an image that "
        "can be pulled, or root, debootstrap and a mirror of the distribution's packages.",
        "Mend what the message names, then run grader sandbox build again: what it has fetched is kept.",
    ),
    "E4116": Entry(
        "a setting of the service is missing or wrong",
        "A worker or sweep is told by its environment where the database and the broker are. An address may also lie "
        "in a file, named by the variable with _FILE at its end.",
        "Set the variable that the message names: GRADER_DATABASE_URL, GRADER_BROKER_URL or one of the others.",
    ),
    "E4117": Entry(
        "the secret is too short",
        "The file that GRADER_SECRET_FILE names keys all random inputs; whoever guessed it could foretell them.",
        "head -c 32 /dev/urandom > FILE, once, and copy it to every worker: a verdict can be replayed with it only.",
    ),
    "E4118": Entry(
        "the address of the broker is not understood",
        "Messages to workers go through Redis, and GRADER_BROKER_URL is not an address of one.",
        "redis://:PASSWORD@HOST:6379/0, rediss:// for TLS, or redis+socket:///PATH.",
    ),
    "E4119": Entry(
        "the broker does not answer",
        "Redis is down, unreachable, or has no memory left. Nothing is lost: what was submitted waits in the database, "
        "and the sweep tells the workers of it once Redis is back.",
        "Check that Redis runs and has memory, and that GRADER_BROKER_URL is right.",
    ),
    "E4130": Entry(
        "there is no GPU to judge on",
        "The exercise is judged on a GPU, and nvidia-smi is missing here, or shows none that may be used.",
        "Judge on a machine with an NVIDIA GPU and its driver, on a server, or with --device cpu where one may choose.",
    ),
    "E4131": Entry(
        "every GPU of this machine is in use",
        "One judging at a time has a GPU to itself; another one holds each.",
        "Try again when it has ended.",
    ),
    "E4132": Entry(
        "a GPU does not work",
        "It did not compute before anything of the submission had run, or its driver tells of a fault. A worker keeps "
        "it from everybody, and the judging is repeated elsewhere or later; no attempt is used.",
        "Look at nvidia-smi -q and the kernel's log; then `grader gpu restore ID` lets workers have it again.",
    ),
    "E4133": Entry(
        "nothing can be timed on the GPU now",
        "It was throttled, or other programs used it, so that a time would say nothing about the submission.",
        "See nvidia-smi for its temperature and its processes; the judging is repeated.",
    ),
    "E4134": Entry(
        "the engine's sandboxes lack what the exercise needs",
        "Not every engine has PyTorch for CUDA in its sandboxes, or what compiles a submission's kernels.",
        "docs/gpu.md says which one has what; the engine local has all that this machine has, and does not isolate.",
    ),
    "E5101": Entry(
        "nothing of that name or id is here",
        "There is no such exercise, submission or judging, or it belongs to somebody else.",
        "`grader list` shows the exercises, `grader history EX` your submissions.",
    ),
    "E5102": Entry(
        "nothing was submitted yet",
        "The store in GRADER_HOME holds no submission of yours.",
        "grader submit EX FILE sends a file.",
    ),
    "E5103": Entry(
        "there is no report yet",
        "The judging waits, runs, or was interrupted by Ctrl-C, a kill or a lost power.",
        "Wait, or run `grader submit` again: it finishes what was interrupted first.",
    ),
    "E5104": Entry(
        "there is no such code",
        "Codes are E and four digits; verdicts are written as a report writes them.",
        "grader explain, without a code, lists all.",
    ),
    "E5105": Entry(
        "the file does not say which exercise it is for",
        "The exercise may be left out only where the file has its name (lstm_cell.py).",
        "grader submit EXERCISE FILE.",
    ),
    "E5106": Entry(
        "there is no such account or organisation",
        "Nothing has this name or id, or it belongs to another organisation.",
        "Look at the spelling.",
    ),
    "E5107": Entry(
        "there is no such course, assignment, member or appeal",
        "It is not there, not published yet, or of a course that is not yours.",
        "grader course list; grader course show COURSE.",
    ),
    "E5140": Entry(
        "no GPU of this id, or it is not in quarantine",
        "`grader queue` shows those that workers offer, and why one is kept from everybody.",
        "Copy the id from there.",
    ),
    "E5201": Entry(
        "there is nothing at this address",
        "The address is not one of this server's API: mistyped, or of another version.",
        "GET /v1/openapi.json lists all addresses.",
    ),
    "E5202": Entry(
        "this address does not take that method",
        "It exists, but not for GET, POST or whatever was sent.",
        "The answer's header Allow names the methods.",
    ),
    "E5203": Entry(
        "there is no such token",
        "It is somebody else's, mistyped, or revoked already.",
        "grader token list NAME.",
    ),
    "E5204": Entry(
        "no login waits with this code",
        "The code is mistyped, was answered already, or has expired after ten minutes.",
        "grader auth login shows a new one.",
    ),
    "E5210": Entry(
        "the server does not answer",
        "It is down, its name or port is wrong, or your network does not reach it. What was not confirmed is sent "
        "again under its key.",
        "Check the address with `grader auth status`, and your network; then run the same command again.",
    ),
    "E5211": Entry(
        "no secure connection to the server",
        "Its certificate is not trusted, has expired or is for another name; or it speaks no TLS. Nothing was sent.",
        "An authority of your own: SSL_CERT_FILE=FILE. A server without TLS: an address that begins with http://.",
    ),
    "E5212": Entry(
        "that is no grader server",
        "Something answers at the address, and not as a grader does: another program, or a network that wants a login.",
        "Look at the address; open it in a browser if your network asks for a login first.",
    ),
    "E5213": Entry(
        "the server and the command line are of versions that do not understand each other",
        "One is newer than the other; the message says which.",
        "Upgrade the older one: pip install --upgrade grader, or ask whoever runs the server.",
    ),
    "E5214": Entry(
        "whether the submission has arrived is not known",
        "The connection broke after it was sent and before the server had confirmed it; it is kept with its key.",
        "Run the same command again: the server stores it once, whether or not it had arrived.",
    ),
    "E5215": Entry(
        "nobody waits any longer",
        "The time of --timeout is over, or the server was away for minutes. The submission is judged all the same.",
        "grader watch ID waits again, grader results ID shows the report once it is there.",
    ),
    "E5216": Entry(
        "the login was not approved",
        "Whoever had the code denied it, or ten minutes were over.",
        "grader auth login shows a new code; `--password` or `--token-stdin` do without one.",
    ),
    "E5205": Entry(
        "there is no login by OpenID here",
        "The server has no provider: GRADER_OIDC_ISSUER is not set.",
        "Log in with a password or by device code: grader auth login.",
    ),
    "E6101": Entry(
        "a token is needed",
        "The server does not know who asks.",
        "grader auth login.",
    ),
    "E6102": Entry(
        "the token is not accepted",
        "It is unknown, expired or revoked, or its account is disabled.",
        "grader auth login; if that fails too, ask whoever runs the server.",
    ),
    "E6103": Entry(
        "the login is refused",
        "The organisation, the name or the password is wrong; which of them, nobody is told.",
        "Look at the spelling, or ask an operator for a new password.",
    ),
    "E6104": Entry(
        "the account or the token may not do this",
        "Each address asks for a scope of the token and a role of the account.",
        "Log in with an account that may, or ask for a token with that scope.",
    ),
    "E6105": Entry(
        "the exercise is closed",
        "It takes no submissions at the moment.",
        "Ask whoever teaches the course.",
    ),
    "E6106": Entry(
        "too many requests in a short time",
        "The server limits how often an account submits and how often a login is tried.",
        "Wait as long as the answer's header Retry-After says, then try again.",
    ),
    "E6107": Entry(
        "too many submissions wait",
        "So many of yours are queued or being judged as one learner may have at a time.",
        "Wait for one to be judged, then send the next.",
    ),
    "E6108": Entry(
        "a body of this type is not taken",
        "Submissions are multipart/form-data or application/json.",
        "Set the header Content-Type to what is sent.",
    ),
    "E6109": Entry(
        "a compressed body is not taken",
        "It could be far larger than it looks.",
        "Send it without Content-Encoding.",
    ),
    "E6110": Entry(
        "the request is not understood",
        "Its body is no JSON or no form, or lacks what the address needs.",
        "GET /v1/openapi.json describes each request.",
    ),
    "E6111": Entry(
        "a value in the request is not as it must be",
        "It is missing, of another type, too long, or not one of those allowed.",
        "GET /v1/openapi.json describes each request.",
    ),
    "E6112": Entry(
        "the upload was cut short",
        "The connection ended before all was sent; nothing was stored.",
        "Send it again, under the same Idempotency-Key.",
    ),
    "E6113": Entry(
        "the upload took too long",
        "It had not arrived in the time that the server allows.",
        "Send it again, over a better connection.",
    ),
    "E6114": Entry(
        "the server is not ready",
        "No canary came back lately: workers, queue or sandboxes do not work. Submissions are taken all the same.",
        "Look at the workers' log and at `grader doctor` on their machine.",
    ),
    "E6115": Entry(
        "the OpenID provider does not answer as it must",
        "It is down, or calls itself otherwise than GRADER_OIDC_ISSUER does.",
        "Try again later; whoever runs the server compares the setting with what the provider tells.",
    ),
    "E6116": Entry(
        "the login at the OpenID provider failed",
        "It was refused, took too long, began in another browser, or the provider's answer does not hold.",
        "Begin again at /v1/oidc/login.",
    ),
    "E6130": Entry(
        "no worker offers a GPU now",
        "The submission is for one, and this server does not let it wait for one (GRADER_WITHOUT_GPU=refuse).",
        "Try again later, or submit with --device cpu where the exercise has both.",
    ),
    "E6131": Entry(
        "the exercise is not judged by a server yet",
        "Submissions bring kernels for a GPU, and no sandbox that isolates has what compiles them; see docs/gpu.md.",
        "Submit without a server, on a machine with a GPU.",
    ),
    "E6201": Entry(
        "the assignment is not open yet",
        "It takes submissions from the time on that the message tells, by the server's clock.",
        "`grader check` runs the public examples meanwhile.",
    ),
    "E6202": Entry(
        "the assignment is closed",
        "Its time is over, by the server's clock; what was sent before counts.",
        "Ask who teaches the course for an extension.",
    ),
    "E6203": Entry(
        "no attempt is left",
        "The assignment allows so many for each exercise; what failed by our own fault was not counted.",
        "Ask who teaches the course for one more: grader extend COURSE/NAME LOGIN --attempts 1.",
    ),
    "E6204": Entry(
        "the next submission is taken a little later",
        "The assignment has a cooldown between submissions of an exercise; the message tells until when.",
        "`grader check` runs the public examples as often as you like.",
    ),
    "E6205": Entry(
        "no release token is left",
        "Each buys the full report of one submission; a spent one comes back after a while, if the assignment says so.",
        "`grader assignment show COURSE/NAME` tells how many are left.",
    ),
    "cancelled": Entry(
        "verdict: withdrawn before it was judged",
        "`grader cancel` took it out of the queue: it is not scored, no attempt is used.",
        "Submit again when you are ready.",
    ),
    "internal_error": Entry(
        "verdict: we could not judge",
        "The grader or the exercise failed, not the submission: it is not scored, no attempt is used.",
        "Submit again; if it stays, report it with what -v prints.",
    ),
    "policy_violation": Entry(
        "verdict: something is used that the exercise does not allow",
        "The statement asks you to write yourself what the submission takes from a library.",
        "Remove it from the line named.",
    ),
    "protocol_violation": Entry(
        "verdict: the submission disturbed the line to the judge",
        "It wrote to descriptors that are not its own, or returned what cannot cross: only arrays, tensors, "
        "numbers, texts, None, and lists, tuples and dicts of these do.",
        "Return plain values, and leave descriptors other than stdout and stderr alone.",
    ),
    "memory_limit_exceeded": Entry(
        "verdict: more memory than allowed",
        "The process asked for more than the exercise's limit (`grader show EX` names it).",
        "Look for intermediate arrays that grow with the product of two sizes.",
    ),
    "time_limit_exceeded": Entry(
        "verdict: slower than allowed",
        "A call, the import, or all calls together took longer than the exercise's limits.",
        "Look for endless loops, and for loops over elements where an array operation serves.",
    ),
    "output_limit_exceeded": Entry(
        "verdict: more output than allowed",
        "The submission printed, or returned, more than the exercise's limits.",
        "Take the prints out of the loops; return arrays of the shape asked for.",
    ),
    "import_error": Entry(
        "verdict: the file could not be imported",
        "It does not parse, raises while it is imported, imports what is not there, or lacks a function.",
        "Run it by itself (python FILE), then `grader check`.",
    ),
    "runtime_error": Entry(
        "verdict: a function raised an exception",
        "The report names its type and the line in your file.",
        "Call the function with odd shapes, size 1 and every option; `grader check` shows more.",
    ),
    "wrong_answer": Entry(
        "verdict: an answer is not right",
        "Shape, dtype, finiteness, a value or a gradient differs, or an argument was changed.",
        "Read the failed test's title and message; a small case by hand often shows it.",
    ),
    "accepted": Entry(
        "verdict: every test passed",
        "All answers agree with the reference within the tolerance.",
        "Take the next one: grader list.",
    ),
}
