"""The style of the report page: light, dark and printed."""

from emulation.svg import BASE_STYLE, style

_LIGHT = (
    "--surface:#fff;--ink:#18212d;--muted:#5d6878;--line:#e3e7ed;--card:#f5f7f9;--accent:#1767c9;"
    "--good:#17744a;--good-bg:#dcf3e6;--calm:#53606f;--calm-bg:#e8ecf1;--bad:#a3161f;--bad-bg:#fde3e3;--over:#7a1fa2"
)
_DARK = (
    "--surface:#12161c;--ink:#e9edf3;--muted:#9aa5b4;--line:#2a313b;--card:#1a2028;--accent:#62aeff;"
    "--good:#7fe0ae;--good-bg:#153627;--calm:#c1cad6;--calm-bg:#29313b;--bad:#ff9c9c;--bad-bg:#451a1d;--over:#e27bff"
)
_LAYOUT = """
*{box-sizing:border-box}
body{margin:0;background:var(--surface);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:1184px;margin:0 auto;padding:40px 32px 64px}
.kicker{margin:0 0 6px;color:var(--muted);font-size:13px;letter-spacing:.06em;text-transform:uppercase}
h1{margin:0 0 22px;font-size:24px;line-height:1.3;font-weight:650;text-wrap:balance}
h2{margin:0 0 14px;font-size:19px;font-weight:650}
.status{display:inline-block;margin-right:8px;padding:2px 12px 3px;border-radius:99px;font-size:16px;vertical-align:2px}
.committed{color:var(--good);background:var(--good-bg)}
.kept{color:var(--calm);background:var(--calm-bg)}
.aborted{color:var(--bad);background:var(--bad-bg)}
.cards{display:flex;flex-wrap:wrap;gap:16px;margin-bottom:22px}
.card{flex:1 1 340px;padding:16px 22px 14px;border-radius:12px;background:var(--card)}
.card h2{margin:0;color:var(--muted);font-size:13px;font-weight:500}
.card p{display:flex;align-items:baseline;gap:14px;margin:0;
font-size:46px;font-weight:680;letter-spacing:-.02em;line-height:1.2}
.card .old,.card .arrow{color:var(--muted);font-weight:400}
.card .arrow{font-size:30px}
.card .new{color:var(--accent)}
.card .change{margin-left:auto;font-size:22px;font-weight:600;letter-spacing:0}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(330px,1fr));gap:2px 32px;margin:0}
.facts div{display:flex;gap:12px;padding:5px 0;border-top:1px solid var(--line);font-size:14px}
.facts dt{flex:0 0 84px;color:var(--muted)}
.facts dd{margin:0;overflow-wrap:anywhere}
section{margin-top:52px}
figure{margin:0}
figure svg{display:block;width:100%;height:auto}
figcaption{margin-top:12px;color:var(--muted);font-size:14px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:12.5px}
.links{min-width:100%}
th,td{padding:3px 7px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{font-weight:500}
thead th{color:var(--muted);vertical-align:bottom}
thead tr:first-child th{padding-bottom:0;border:0;color:var(--ink)}
thead th[colspan="2"],thead th[colspan="6"]{text-align:center}
tr>th:first-child{padding-left:0;text-align:left}
.facts-table{width:100%}
.facts-table th{color:var(--muted);vertical-align:top}
.facts-table td{width:100%;text-align:left;white-space:normal;overflow-wrap:anywhere}
.over-text{color:var(--over);font-weight:650}
@media screen and (max-width:760px){
main{padding:20px 16px}
figure{overflow-x:auto}
figure svg{width:820px}
}
@media print{
@page{margin:14mm}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{font-size:11px}
main{padding:0}
h1{font-size:17px;margin-bottom:12px}
h2{font-size:14px;break-after:avoid}
.status{font-size:12px}
.card{flex-basis:0;padding:8px 14px}
.card p{font-size:26px}
.card .arrow,.card .change{font-size:15px}
.facts{grid-template-columns:1fr 1fr}
.facts div{font-size:10px}
section{margin-top:22px}
figcaption{font-size:10px}
figure svg,.cards,tr{break-inside:avoid}
.scroll{overflow:visible}
table{font-size:7px}
th,td{padding:1.5px 3px}
}
"""
STYLE = (
    f":root{{color-scheme:light dark;{_LIGHT}}}{BASE_STYLE}{style('light')}\n"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}}}{style('dark')}}}\n{_LAYOUT}"
)
