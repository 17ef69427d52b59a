// Forks the engine process as a host does, tells its process id, and waits to be killed.
import { fork } from 'node:child_process';

const engine = fork(process.argv[2], { serialization: 'advanced', stdio: 'ignore' });
process.send(engine.pid);
setInterval(() => {}, 1000);
