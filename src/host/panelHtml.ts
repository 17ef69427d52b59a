/**
 * The panel's page: nothing is allowed but our own script, our own style sheet, and the image.
 * @param cspSource `webview.cspSource`
 */
export function panelHtml(page: {
  cspSource: string;
  nonce: string;
  scriptSrc: string;
  styleSrc: string;
}): string {
  const { cspSource, nonce, scriptSrc, styleSrc } = page;
  const policy = [
    `default-src 'none'`,
    `img-src ${cspSource} data:`,
    `style-src ${cspSource}`,
    `script-src 'nonce-${nonce}'`,
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="UTF-8" />
    <meta http-equiv="Content-Security-Policy" content="${policy}" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <link rel="stylesheet" href="${styleSrc}" />
    <title>AVIS</title>
  </head>
  <body>
    <div id="root"></div>
    <script nonce="${nonce}" src="${scriptSrc}"></script>
  </body>
</html>
`;
}
