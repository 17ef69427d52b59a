/** Fetches the CUDA provider that onnxruntime-node leaves out of its package, by its own script. */
import { fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import * as vscode from 'vscode';
import { AvisError } from '../shared/errors';

/** @throws {AvisError} 'device' with the script's last words. Resolves false when not wanted. */
export async function installCuda(
  extensionUri: vscode.Uri,
  log: vscode.LogOutputChannel,
): Promise<boolean> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new AvisError(
      'device',
      `CUDA libraries exist for Linux on x64 only, and the engine runs on ${process.platform} ${process.arch}. Choose another avis.engine.device: dml on Windows, coreml on macOS, or webgpu.`,
    );
  }
  const download = 'Download';
  const answer = await vscode.window.showInformationMessage(
    'Download the CUDA libraries of ONNX Runtime?',
    {
      modal: true,
      detail:
        'Several hundred megabytes come from nuget.org into this extension’s folder. They need an NVIDIA card with its driver, CUDA 12 and cuDNN 9.',
    },
    download,
  );
  if (answer !== download) return false;
  return vscode.window.withProgress(
    {
      location: vscode.ProgressLocation.Notification,
      title: 'AVIS: installing the CUDA libraries',
      cancellable: true,
    },
    (progress, token) => runInstallScript(extensionUri, log, progress, token),
  );
}

function runInstallScript(
  extensionUri: vscode.Uri,
  log: vscode.LogOutputChannel,
  progress: vscode.Progress<{ message?: string }>,
  token: vscode.CancellationToken,
): Promise<boolean> {
  const script = vscode.Uri.joinPath(
    extensionUri,
    'node_modules/onnxruntime-node/script/install.js',
  ).fsPath;
  const proxy = vscode.workspace.getConfiguration('http').get<string>('proxy');
  const child = fork(script, ['--onnxruntime-node-install=cuda12'], {
    env: {
      ...process.env,
      ELECTRON_RUN_AS_NODE: '1',
      ...(proxy ? { GLOBAL_AGENT_HTTP_PROXY: proxy, GLOBAL_AGENT_HTTPS_PROXY: proxy } : {}),
    },
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let lastLine = '';
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue;
    createInterface(stream).on('line', (line) => {
      log.info(line);
      if (/Error: /.test(line) || !lastLine) lastLine = line.trim();
      progress.report({ message: line.slice(0, 120) });
    });
  }
  token.onCancellationRequested(() => child.kill());
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      if (token.isCancellationRequested) resolve(false);
      else if (code === 0) resolve(true);
      else {
        reject(
          new AvisError(
            'device',
            `The CUDA libraries could not be installed: ${lastLine || `exit code ${code}`}. Check the network or the http.proxy setting, and try again.`,
          ),
        );
      }
    });
  });
}
