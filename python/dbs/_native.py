# DEV FAKE, NEVER COMMITTED
import hashlib, io, os, json
class Error(Exception): pass
class NotDbs(Error): pass
class Unsupported(Error): pass
class Damaged(Error): pass
class WrongPassphrase(Error): pass
class AuthenticationFailed(Error): pass
class LimitExceeded(Error): pass
class Misuse(Error): pass
def _h(p): return hashlib.sha256(p.encode() if isinstance(p,str) else p).digest()
class Writer:
    def __init__(self, target, passphrase, **kw):
        self.t=target; self.t.write(b"FAKE"+_h(passphrase)); self.n=0
    def write(self, d): self.t.write(d); self.n+=len(d); return len(d)
    def entry(self,*a): assert len(a)==9
    def finish(self): self.t.write(b"TRAILER!")
    def close(self): pass
class Report:
    version=3; status="clean"; blocks=1; blocks_healed=0; sectors=2; sectors_bad=0; failed_blocks=[]; notes=[]; decrypted=False
class Payload:
    seekable=True
    def __init__(self,d): self.d=d
    def reader(self): return io.BytesIO(self.d)
    def read_at(self,o,n): return self.d[o:o+n]
    def report(self): return Report()
class Archive:
    version=3
    def __init__(self,d): self.d=d
    def validate(self,p):
        r=Report()
        if p is not None: self.unlock(p); r.decrypted=True
        if not self.d.endswith(b"TRAILER!"): r.status="unrecoverable"
        return r
    def unlock(self,p):
        if self.d[4:36]!=_h(p): raise WrongPassphrase("wrong passphrase")
        return Payload(self.d[36:-8])
    def repair(self,f): f.write(self.d); return Report()
def open(src):
    import builtins
    if isinstance(src,(bytes,bytearray)): d=bytes(src)
    elif hasattr(src,"read"): src.seek(0); d=src.read()
    else:
        with builtins.open(src,"rb") as f: d=f.read()
    if d[:4]!=b"FAKE": raise NotDbs("not a .dbs file")
    return Archive(d)
