import assert from 'node:assert/strict';
import * as vscode from 'vscode';

describe('the test bed', () => {
  it('runs in a VS Code that the extension supports, on one folder', () => {
    const [major, minor] = vscode.version.split('.').map(Number);
    assert.ok(major === 1 && minor! >= 100, vscode.version);
    assert.equal(vscode.workspace.workspaceFolders?.length, 1);
  });
});
